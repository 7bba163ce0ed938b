"""weft-relay on loopback: thousands of clients, rough ones among them, and errors at start."""

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from urllib.request import urlopen

import pytest

from topology import BUILD, IS_SANITIZED

RELAY, BENCH = BUILD / "weft-relay", BUILD / "bench" / "weft-relay-bench"
CLIENTS = 2000


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def relay(*flags, tmp_path):
    """A relay without TLS; yields its port and process, and checks that it stops cleanly."""
    port = free_port()
    log = tmp_path / "relay.log"
    command = [RELAY, "-a", f"127.0.0.1:{port}", "-c", tmp_path / "derper.key", f"-stun-port={free_port(socket.SOCK_DGRAM)}", *flags]
    with open(log, "w") as out, subprocess.Popen(command, stderr=out) as process:
        for _ in range(100):
            if process.poll() is not None or "relaying" in log.read_text():
                break
            time.sleep(0.05)
        assert process.poll() is None, log.read_text()
        try:
            yield port, process
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            assert process.wait(10) == 0, log.read_text()
    assert len(log.read_text().splitlines()) <= 20, "an info-level log is a dozen lines\n" + log.read_text()


def metric(port, name):
    for line in urlopen(f"http://127.0.0.1:{port}/metrics").read().decode().splitlines():
        if line.startswith(f"weft_relay_{name} "):
            return int(line.split()[1])
    raise KeyError(name)


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def greeted(port, request=b"GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n"):
    s = socket.create_connection(("127.0.0.1", port))
    s.settimeout(15)
    s.sendall(request)
    return s


def read_until(s, mark):
    data = b""
    while mark not in data:
        piece = s.recv(4096)
        assert piece, data
        data += piece
    return data


@pytest.mark.skipif(os.sysconf("SC_OPEN_MAX") < CLIENTS + 100, reason=f"needs {CLIENTS + 100} open files")
def test_thousands_of_clients(tmp_path):
    subprocess.run(["ninja", "-C", BUILD, "bench/weft-relay-bench"], check=True, stdout=subprocess.DEVNULL)
    with relay(tmp_path=tmp_path) as (port, process):
        done = subprocess.run([BENCH, "127.0.0.1", str(port), str(process.pid), f"--clients={CLIENTS}", "--pairs=10", "--seconds=1"],
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["clients"] == CLIENTS
        assert IS_SANITIZED or result["idle_bytes_per_client"] < 8192, result
        wait_for(lambda: metric(port, "connections") == 0)
        assert metric(port, "logins_total") == CLIENTS


def test_upgrade_and_fast_start(tmp_path):
    with relay(tmp_path=tmp_path) as (port, _):
        with greeted(port) as s:
            head = read_until(s, b"DERP\xf0\x9f\x94\x91")
            assert head.startswith(b"HTTP/1.1 101 ") and b"Derp-Version: 2\r\n" in head
        fast = b"GET /derp HTTP/1.1\r\nHost: x\r\nDerp-Fast-Start: 1\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"
        with greeted(port, fast) as s:
            assert read_until(s, b"DERP\xf0\x9f\x94\x91").startswith(b"\x01\x00\x00\x00\x28"), "no byte of HTTP comes first"


def test_garbage_ends_its_own_connection_only(tmp_path):
    with relay(tmp_path=tmp_path) as (port, _):
        for garbage in (b"\x02\x00\x00\x01\x00" + os.urandom(256), b"\x04\xff\xff\xff\xff", os.urandom(4096)):
            with greeted(port) as s:
                read_until(s, b"DERP\xf0\x9f\x94\x91")
                s.sendall(garbage)
                s.settimeout(12)
                try:
                    while s.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
        for garbage in (b"\0" * 100, b"GET /derp HTTP/9\r\n\r\n", b"\x16\x03\x01\x02\x00" + os.urandom(512)):
            with greeted(port, garbage):
                pass
        wait_for(lambda: metric(port, "connections") == 0)


def test_silent_strangers_are_sent_away(tmp_path):
    with relay(tmp_path=tmp_path) as (port, _):
        with greeted(port) as s:
            read_until(s, b"DERP\xf0\x9f\x94\x91")
            begin = time.monotonic()
            assert s.recv(1) == b""
            assert 8 < time.monotonic() - begin < 13


def test_accept_limit(tmp_path):
    with relay("-accept-connection-limit=5", tmp_path=tmp_path) as (port, _):
        connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
        refused = 0
        for s in connections:
            s.settimeout(0.05)
            try:
                refused += s.recv(1) == b""
            except ConnectionResetError:
                refused += 1
            except TimeoutError:
                pass
            s.close()
        assert 20 <= refused <= 25


def test_rate_file_is_read_again(tmp_path):
    rates = tmp_path / "rates.json"
    rates.write_text('{"PerClientRateLimitBytesPerSec": 1000}')
    with relay(f"-rate-config={rates}", tmp_path=tmp_path) as (_, process):
        log = tmp_path / "relay.log"
        rates.write_text('{"PerClientRateLimitBytesPerSec": 2000}')
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "bytes_per_second=2000" in log.read_text())
        rates.write_text("no JSON")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: str(rates) in log.read_text())


@pytest.mark.parametrize("flags, word", [
    (["-a", ":443", "-c", "{tmp}/k"], "certbot"),
    (["-a", "nonsense", "-c", "{tmp}/k"], "nonsense"),
    (["-a", ":3340", "-c", "{tmp}/k", "-mesh-with", "other"], "-mesh-psk-file"),
    (["-a", ":3340", "-c", "{tmp}/k", "-mesh-psk-file", "{tmp}/absent"], "absent"),
    (["-a", ":3340", "-c", "{tmp}/broken"], "broken"),
    (["-a", ":3340", "-c", "{tmp}/open"], "chmod 600"),
    (["-a", ":3340", "-c", "{tmp}/k", "-verify-client-url", "ftp://x"], "ftp://x"),
    (["-a", ":3443", "-c", "{tmp}/k", "-certmode", "manual", "-certdir", "{tmp}", "-hostname", "no.cert"], "no.cert.crt"),
    (["-a", "127.0.0.1:{taken}", "-c", "{tmp}/k", "-stun=false"], "in use"),
    (["--no-such-flag"], "no-such-flag"),
    (["word"], "word"),
])
def test_errors_in_one_sentence(tmp_path, flags, word):
    (tmp_path / "broken").write_text("{}")
    (tmp_path / "broken").chmod(0o600)
    (tmp_path / "open").write_text("{}")
    (tmp_path / "open").chmod(0o644)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        values = {"tmp": tmp_path, "taken": taken.getsockname()[1]}
        done = subprocess.run([RELAY, "-log-level=error", *(f.format(**values) for f in flags)], capture_output=True, text=True, timeout=10)
    assert done.returncode in (1, 2), done.stderr
    assert word in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
