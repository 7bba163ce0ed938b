"""Our tunnel engine against Debian's wireguard-go, both roles, with a pre-shared key."""

import base64
import json
import shutil
import subprocess

import pytest

from topology import BUILD, Host, wait_until

PEER = BUILD / "tests" / "lab" / "wireguard-peer"
pytestmark = pytest.mark.skipif(not (shutil.which("wireguard-go") and shutil.which("wg")),
                                reason="needs wireguard-go and wg")


def wg(*arguments, text=None):
    return subprocess.run(["wg", *arguments], input=text, capture_output=True, text=True, check=True).stdout.strip()


def hexadecimal(key):
    return base64.b64decode(key).hex()


class Pair:
    """wireguard-go on a TUN of the host, ours on its loopback."""

    def __init__(self, lab):
        self.host = Host(lab, "wg")
        self.ours, self.theirs, self.psk = wg("genkey"), wg("genkey"), wg("genpsk")
        self.host.start("wireguard-go", ["wireguard-go", "-f", "wg0"],
                        env={"WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1", "LOG_LEVEL": "verbose"})
        wait_until("wireguard-go's socket", lambda: self.host.run("wg", "show", "wg0", check=False).returncode == 0, 30)
        secret, psk = lab.folder / "secret", lab.folder / "psk"
        secret.write_text(self.theirs)
        psk.write_text(self.psk)
        self.host.run("wg", "set", "wg0", "listen-port", "7002", "private-key", secret,
                      "peer", wg("pubkey", text=self.ours), "preshared-key", psk,
                      "endpoint", "127.0.0.1:7001", "allowed-ips", "10.9.0.1/32")
        self.host.ip("addr", "add", "10.9.0.2/24", "dev", "wg0")
        self.host.ip("link", "set", "wg0", "up")

    def start(self, seconds, mode):
        return self.host.start(f"ours-{mode}", [
            PEER, hexadecimal(self.ours), hexadecimal(wg("pubkey", text=self.theirs)), hexadecimal(self.psk),
            7001, 7002, seconds, mode])

    def counts(self, program, seconds):
        program.process.wait(seconds + 10)
        return json.loads(program.output().splitlines()[-1])


@pytest.fixture
def pair(lab):
    return Pair(lab)


def test_we_initiate(pair):
    counts = pair.counts(pair.start(3, "ping"), 3)
    assert counts["initiations"] == 1 and counts["responses"] == 0
    assert counts["replies"] >= counts["sent"] - 1 > 20


def test_they_initiate(pair):
    ours = pair.start(5, "listen")
    wait_until("our end", lambda: pair.host.run("ss", "-Haun", "sport = :7001").stdout, 30)
    ping = pair.host.run("ping", "-c", "20", "-i", "0.1", "-q", "10.9.0.1")
    assert " 0% packet loss" in ping.stdout
    counts = pair.counts(ours, 5)
    assert counts["responses"] == 1 and counts["requests"] == 20


@pytest.mark.slow
def test_they_notice_that_we_restarted(pair):
    """wireguard-go misses our answers for 15 s and shakes hands again."""
    pair.counts(pair.start(2, "ping"), 2)
    ours = pair.start(24, "listen")
    pair.host.run("ping", "-c", "22", "-i", "1", "-q", "10.9.0.1", check=False)
    counts = pair.counts(ours, 24)
    assert counts["responses"] >= 1 and counts["requests"] >= 3


@pytest.mark.slow
def test_sessions_are_renewed_without_loss(pair):
    """Two minutes and a half of traffic cross a rekey."""
    counts = pair.counts(pair.start(150, "ping"), 150)
    assert counts["initiations"] == 2
    assert counts["replies"] >= counts["sent"] - 2
