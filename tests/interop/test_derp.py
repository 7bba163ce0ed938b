"""Official DERP clients, prober and relay against weft-relay, and the WebSocket form of control."""

import hashlib
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lab"))

from official import build, helper  # noqa: E402
from topology import BUILD, wait_until  # noqa: E402
from world import peer  # noqa: E402

MESH_KEY = "0123456789abcdef" * 4
DEV_PORT = 3340  # the official relay's dev mode knows no other
pytestmark = pytest.mark.direction("official client, our server and relay")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def started(port, *command, log, env=None):
    with open(log, "a") as out, subprocess.Popen(command, stdout=out, stderr=out, env=env) as process:
        try:
            def listens():
                assert process.poll() is None, log.read_text()
                with socket.socket() as s:
                    return s.connect_ex(("127.0.0.1", port)) == 0
            wait_until(f"{command[0]}", listens, 10)
            yield
        finally:
            print(log.read_text()[-4000:])  # shown when the case fails
            process.terminate()
            process.wait(10)


def relay(port, folder, *flags):
    mesh = folder / "mesh.key"
    mesh.write_text(MESH_KEY + "\n")
    return started(port, BUILD / "weft-relay", "-a", f"127.0.0.1:{port}", "-c", folder / "relay.key",
                   "-stun=false", "-mesh-psk-file", mesh, *flags, log=folder / "relay.log")


def drive(program, *arguments, env=None):
    """Runs one of the programs here to its end; its output is in the failure, beside the relay's."""
    with subprocess.Popen([program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=os.environ | (env or {})) as process:
        try:
            text = process.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            text = process.communicate()[0] + "no end within 60 s"
    assert process.returncode == 0, text
    return text


def with_tls(folder):
    return ["-certmode=manual", "-certdir", folder, "-hostname=127.0.0.1", "-http-port=-1"]


def test_relay_over_HTTP_and_its_mesh(tmp_path, generation):
    port = free_port()
    with relay(port, tmp_path):
        text = drive(helper(generation, "derpclient"), "-mesh", MESH_KEY, f"http://127.0.0.1:{port}/derp")
        assert "ok largest packet" in text and "ok closed by the mesh" in text


def test_relay_over_TLS_trusted_by_SSL_CERT_FILE(tmp_path, generation):
    port = free_port()
    with relay(port, tmp_path, *with_tls(tmp_path)):
        env = {"SSL_CERT_FILE": str(tmp_path / "127.0.0.1.crt")}
        text = drive(helper(generation, "derpclient"), f"https://127.0.0.1:{port}/derp", env=env)
        assert "ok peer gone, disconnected" in text


def test_relay_over_TLS_pinned_by_the_DERP_map(tmp_path, generation):
    if generation == "v1.80":
        pytest.skip("1.80 does not know CertName sha256-raw")
    port = free_port()
    with relay(port, tmp_path, *with_tls(tmp_path)):
        pin = "sha256-raw:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert((tmp_path / "127.0.0.1.crt").read_text())).hexdigest()
        assert "ok peer gone, disconnected" in drive(helper(generation, "derpclient"), "-pin", pin, f"127.0.0.1:{port}")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_relay_over_WebSocket(tmp_path, generation, scheme):
    port = free_port()
    program = helper(generation, "derpclient", "-tags=ts_debug_websockets")
    env = {"TS_DEBUG_DERP_WS_CLIENT": "true", "SSL_CERT_FILE": str(tmp_path / "127.0.0.1.crt")}
    with relay(port, tmp_path, *(with_tls(tmp_path) if scheme == "wss" else [])):
        url = f"{'https' if scheme == 'wss' else 'http'}://127.0.0.1:{port}/derp"
        text = drive(program, url, env=env)
        assert "ok largest packet" in text and "ok pong" in text and "ok peer gone, disconnected" in text


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_many_clients(tmp_path, generation, count):
    """Both programs raise their limit of open files as far as they may."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files < count + 50:
        pytest.skip(f"ulimit -Hn is {files}: neither side can hold {count} connections")
    port = free_port()
    with relay(port, tmp_path):
        assert f"ok {count} clients" in drive(helper(generation, "derpclient"), "-many", count, f"http://127.0.0.1:{port}/derp")


def test_STUN_under_the_official_prober(tmp_path, generation):
    port, stun = free_port(), free_port(socket.SOCK_DGRAM)
    with started(port, BUILD / "weft-relay", "-a", f"127.0.0.1:{port}", "-c", tmp_path / "relay.key", f"-stun-port={stun}",
                 log=tmp_path / "relay.log"):
        assert "ok 127.0.0.1:" in drive(helper(generation, "stunprobe"), f"127.0.0.1:{stun}")


def metric(port, name):
    text = urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"weft_relay_{name} "))


@pytest.mark.direction("our relay beside the official one")
def test_mesh_with_the_official_relay(tmp_path, generation):
    """What is connected there is seen here."""
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", DEV_PORT)) == 0:
            pytest.skip(f"port {DEV_PORT} is taken")
    port = free_port()
    mesh = tmp_path / "mesh.key"
    mesh.write_text(MESH_KEY + "\n")
    env = os.environ | {"TAILSCALE_DERPER_MESH_KEY": MESH_KEY, "HOME": str(tmp_path)}
    with started(DEV_PORT, build(generation) / "derper", "-dev", "-stun=false", "-c", tmp_path / "derper.key",
                 f"-mesh-psk-file={mesh}", log=tmp_path / "derper.log", env=env), \
            relay(port, tmp_path, f"-mesh-with=http://127.0.0.1:{DEV_PORT}"):
        end = time.monotonic() + 15
        routes = 0
        while routes == 0 and time.monotonic() < end:
            command = [helper(generation, "derpclient"), "-mesh", MESH_KEY, f"http://127.0.0.1:{DEV_PORT}/derp"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as client:
                while client.poll() is None and routes == 0:
                    routes = metric(port, "mesh_routes")
        assert routes > 0


def lines_until(process, wanted):
    """Reads what a program prints until a line is the one wanted."""
    text = ""
    for line in process.stdout:
        text += line
        if line.rstrip() == wanted:
            return
    raise AssertionError(f"it ended without the line {wanted!r}:\n{text}")


def test_control_over_WebSocket(world):
    """The form that clients in browsers use: registration with a key, the map, and a change of it within 2 s."""
    guest = world.guest_host("browser")
    number = world.server_node("weft1")["id"]
    command = ["ip", "netns", "exec", guest.netns, helper(world.generation, "controlws"), world.tailnet.url, world.tailnet.key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=guest.environment(world.tailnet.environment)) as process:
        try:
            lines_until(process, "registered as a node of alice")
            lines_until(process, "self browser.weft.test.")
            lines_until(process, "peer weft1.weft.test.")
            wait_until("the others to see it online", lambda: (peer(world.weft1, "browser") or {}).get("Online"), 2)
            for new in ("renamed", "weft1"):
                start = time.monotonic()
                world.tailnet.cli("nodes", "rename", "-i", number, new)
                lines_until(process, f"peer {new}.weft.test.")
                assert time.monotonic() - start < 2
        finally:
            process.kill()
    world.forget("browser")


OF_NETCHECK = ("UDP IPv4 IPv6 IPv4CanSend IPv6CanSend OSHasIPv6 ICMPv4 MappingVariesByDestIP PreferredDERP RegionV6Latency GlobalV6").split()


def test_netcheck_finds_relay_and_path(world):
    """The official report, and ours on the same host, which differ in times and the port of their own sockets only."""
    theirs = json.loads(world.off1.weft("netcheck", "--format=json").stdout)
    ours = json.loads(world.off1.host.run(BUILD / "weft", f"--socket={world.off1.socket}", "netcheck", "--format=json").stdout)
    print(theirs, ours, sep="\n")
    assert theirs["PreferredDERP"] == 900 and theirs["UDP"]
    assert {name: ours[name] for name in OF_NETCHECK} == {name: theirs[name] for name in OF_NETCHECK}
    for report in (theirs, ours):
        assert report["GlobalV4"].startswith("203.0.113.11:") and report["RegionLatency"].keys() == report["RegionV4Latency"].keys() == {"900"}


@pytest.mark.pending("weft netcheck asks no gateway for port mapping and looks for no captive portal")
def test_netcheck_of_port_mapping_and_captive_portal(generation):
    pass
