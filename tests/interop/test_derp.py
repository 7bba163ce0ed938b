"""Official DERP clients at weft-relay, and weft-relay in a mesh with the official relay."""

import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from topology import BUILD  # noqa: E402

MESH_KEY = "0123456789abcdef" * 4
pytestmark = pytest.mark.skipif(not shutil.which("go"), reason="needs Go to build the official programs")


def go_build(package, out):
    subprocess.run(["go", "build", "-o", out, package], cwd=HERE / "v1.102", check=True, capture_output=True, timeout=1500)
    return out


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    return {name: go_build(package, folder / name)
            for name, package in {"derpclient": "./derpclient", "derper": "tailscale.com/cmd/derper"}.items()}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def started(port, *command, env=None):
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env) as process:
        try:
            for _ in range(100):
                assert process.poll() is None, f"{command[0]} ended"
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(10)


def relay(port, folder, *flags):
    mesh = folder / "mesh.key"
    mesh.write_text(MESH_KEY + "\n")
    return started(port, BUILD / "weft-relay", "-a", f"127.0.0.1:{port}", "-c", folder / "relay.key", "-stun=false",
                   "-mesh-psk-file", mesh, *flags)


def drive(programs, *arguments, env=None):
    done = subprocess.run([programs["derpclient"], *arguments], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_clients_over_http_and_the_mesh(programs, tmp_path):
    port = free_port()
    with relay(port, tmp_path):
        assert "ok closed by the mesh" in drive(programs, f"http://127.0.0.1:{port}/derp", MESH_KEY)


def test_clients_over_tls_with_fast_start(programs, tmp_path):
    port = free_port()
    flags = ["-certmode=manual", "-certdir", tmp_path, "-hostname=127.0.0.1", "-http-port=-1"]
    with relay(port, tmp_path, *flags):
        env = {"SSL_CERT_FILE": str(tmp_path / "127.0.0.1.crt")}
        assert "ok peer gone, disconnected" in drive(programs, f"https://127.0.0.1:{port}/derp", env=env)


def test_mesh_with_the_official_relay(programs, tmp_path):
    """What is connected there is seen here; the official relay's dev mode has one fixed port."""
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", 3340)) == 0:
            pytest.skip("port 3340 is taken")
    port = free_port()
    env = {"TAILSCALE_DERPER_MESH_KEY": MESH_KEY, "HOME": str(tmp_path)}
    with started(3340, programs["derper"], "-dev", "-stun=false", "-c", tmp_path / "derper.key", env=env), \
            relay(port, tmp_path, "-mesh-with=http://127.0.0.1:3340"):
        end = time.monotonic() + 15
        routes = 0
        while routes == 0 and time.monotonic() < end:
            with subprocess.Popen([programs["derpclient"], "http://127.0.0.1:3340/derp", MESH_KEY], stdout=subprocess.DEVNULL) as client:
                while client.poll() is None and routes == 0:
                    metrics = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
                    routes = int(next(line for line in metrics.splitlines() if line.startswith("weft_relay_mesh_routes ")).split()[1])
        assert routes > 0
