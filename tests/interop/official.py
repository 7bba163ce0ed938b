"""The official programs, built from the modules pinned by go.sum in the folders beside this file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from tailnet import Node  # noqa: E402
from topology import Failure  # noqa: E402

GENERATIONS = ["v1.102", "v1.90", "v1.80"]
PROGRAMS = ["tailscaled", "tailscale", "derper"]


def build(generation):
    """The folder with the programs of that generation; built once, then cached by Go."""
    out = HERE / generation / "bin"
    if all((out / program).exists() for program in PROGRAMS):
        return out
    done = subprocess.run(["go", "build", "-o", f"{out}/", *[f"tailscale.com/cmd/{program}" for program in PROGRAMS]],
                          cwd=HERE / generation, capture_output=True, text=True, timeout=1500)
    if done.returncode:
        raise Failure(f"building the official programs {generation} failed:\n{done.stderr[-2000:]}")
    return out


def why_not():
    """Why the suite cannot run here, or None."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        return "needs root and /dev/net/tun"
    if not shutil.which("go"):
        return "needs Go 1.26.6 or later to build the official programs"
    return None


class OfficialNode(Node):
    """tailscaled in weftd's place: the same calls, the official answers."""

    def __init__(self, host, control, generation="v1.102", tun="ts0"):
        self.host, self.control = host, control
        self.bin = build(generation)
        self.folder = host.lab.folder / f"node-{host.name}"
        self.folder.mkdir()
        self.socket = self.folder / "tailscaled.sock"
        self.program = host.start("tailscaled", [
            self.bin / "tailscaled", f"--statedir={self.folder}", f"--state={self.folder}/tailscaled.state",
            f"--socket={self.socket}", f"--tun={tun}", "--no-logs-no-support"], control.environment | {"TS_DEBUG_FIREWALL_MODE": "nftables"})
        self.wait_ready()

    def weft(self, *arguments, check=True, timeout=60):
        return self.host.run(self.bin / "tailscale", f"--socket={self.socket}", *arguments, check=check, timeout=timeout)
