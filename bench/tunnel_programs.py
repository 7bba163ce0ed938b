"""The programs that bench/tunnel compares, each between two hosts of a lab of its own."""

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

from processes import family

ROOT = Path(__file__).resolve().parent.parent
for folder in ("lab", "interop"):
    sys.path.insert(0, str(ROOT / "tests" / folder))

from official import OfficialNode  # noqa: E402
from tailnet import Control, Node, Relay  # noqa: E402
from topology import BUILD, Failure, Host, Lab, wait_until  # noqa: E402,F401

TICKS = os.sysconf("SC_CLK_TCK")
PORT = 51820


# Loss in a million, delay and jitter in microseconds, each way; every packet by itself.
NETWORKS = {"clean": None, "low": (2500, 2000, 2000), "medium": (10000, 4000, 7000)}


class RoutedLab(Lab):
    """192.0.2.2 on host a, 198.51.100.2 on host b, a router between them, or for
    what goes from a to b a bad network."""

    def __init__(self, name, mtu, network="clean"):
        super().__init__(name)
        self.network = NETWORKS[network]
        self.link_mtu = max(1500, mtu + 200)  # the tunnel's messages are not cut up

    def __enter__(self):
        super().__enter__()
        self.inet.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.inet.ip4 = "192.0.2.1"
        self.a, self.b = self.end("a", "192.0.2"), self.end("b", "198.51.100")
        if self.network:
            self.impair(*self.network)
        return self

    def impair(self, loss, delay, jitter):
        program = self.inet.start("impair", [BUILD / "bench" / "weft-impair", self.a.netns, self.b.netns, loss, delay, jitter, 1])
        wait_until("weft-impair", lambda: "ready" in program.output(), 10)
        for host, other in ((self.a, self.b), (self.b, self.a)):
            host.ip("link", "set", "impair", "mtu", "1500", "txqueuelen", "2000", "up")
            host.ip("route", "add", f"{other.ip4}/32", "dev", "impair", "src", host.ip4)

    def end(self, name, net):
        host = Host(self, name)
        host.connect("eth0", self.inet, f"to-{name}")
        for end, device in ((host, "eth0"), (self.inet, f"to-{name}")):
            end.ip("link", "set", device, "mtu", str(self.link_mtu))
        self.inet.ip("addr", "add", f"{net}.1/24", "dev", f"to-{name}")
        host.ip4 = f"{net}.2"
        host.ip("addr", "add", f"{net}.2/24", "dev", "eth0")
        host.ip("route", "add", "default", "via", f"{net}.1")
        return host


class Tunnel:
    """What carries the packets between host a and host b."""

    count = 0

    def __init__(self, path, mtu, peers, network="clean"):
        Tunnel.count += 1
        self.path, self.mtu, self.peers = path, mtu, peers
        self.lab = RoutedLab(f"bench{os.getpid()}x{Tunnel.count}", mtu, network)
        self.daemons = []
        self.own = {"a": "100.64.0.1", "b": "100.64.0.2"}

    def __enter__(self):
        self.lab.__enter__()
        try:
            self.hosts = {"a": self.lab.a, "b": self.lab.b}
            self.start()
            self.hosts["a"].run("ping", "-c", "3", "-i", "0.2", "-W", "5", self.target)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.lab.__exit__()

    @property
    def target(self):
        return self.own["b"]

    def configure(self, name, device):
        self.hosts[name].ip("addr", "replace", self.own[name] + "/24", "dev", device)
        self.hosts[name].ip("link", "set", device, "mtu", str(self.mtu), "up")

    def cpu_seconds(self):
        ticks = 0
        for pid in (pid for daemon in self.daemons for pid in family(daemon.pid)):
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def memory_mb(self, field):
        """Of the larger daemon, with its helper processes: VmRSS now, VmHWM the most ever."""
        most = 0
        for daemon in self.daemons:
            total = 0
            for pid in family(daemon.pid):
                with open(f"/proc/{pid}/status") as f:
                    total += int(re.search(rf"{field}:\s+(\d+)", f.read())[1]) / 1024
            most = max(most, total)
        return most

    def start_ready(self, name, command):
        """A program of bench/, which says when it is ready."""
        program = self.hosts[name].start(command[0], [BUILD / "bench" / command[0], *command[1:]])
        wait_until(f"{command[0]}: {program.output()}", lambda: "ready" in program.output(), 10)
        self.daemons.append(program)


class Bare(Tunnel):
    name = "none"
    target = "198.51.100.2"

    def start(self):
        pass


class Ceiling(Tunnel):
    name = "ceiling"

    def start(self):
        for name, other in ("ab", "ba"):
            self.start_ready(name, ["weft-ceiling", "weft0", self.mtu, PORT, f"{self.hosts[other].ip4}:{PORT}"])
            self.configure(name, "weft0")


def wg(*command, **kwargs):
    return subprocess.run(("wg", *command), check=True, text=True, capture_output=True, **kwargs).stdout.strip()


class KeyedTunnel(Tunnel):
    """Both ends know each other's key and address. Peers beyond the one that is used are idle."""

    def start(self):
        self.keys = {n: wg("genkey") for n in "ab"}
        self.public = {n: wg("pubkey", input=k) for n, k in self.keys.items()}
        for name, other in ("ab", "ba"):
            self.start_end(name, other)

    def idle_peers(self):
        """Keys and addresses of the others."""
        for i in range(2, self.peers + 1):
            yield os.urandom(32), f"100.65.{i >> 8}.{i & 255}/32"


class UserspaceWireguard(KeyedTunnel):
    """A daemon that is configured like wireguard-go."""

    environment = {"LOG_LEVEL": "error", "WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD": "1"}

    def start_end(self, name, other):
        device = f"wb{os.getpid() % 10000}x{Tunnel.count}{name}"
        self.daemons.append(self.hosts[name].start(self.name, [self.path, *self.flags, device], self.environment))
        wait_until(self.name, lambda: os.path.exists(f"/var/run/wireguard/{device}.sock"), 10, 0.05)
        with open(self.lab.folder / f"{name}.conf", "w") as f:
            f.write(f"[Interface]\nPrivateKey={self.keys[name]}\nListenPort={PORT}\n[Peer]\nPublicKey={self.public[other]}\n"
                    f"Endpoint={self.hosts[other].ip4}:{PORT}\nAllowedIPs={self.own[other]}/32\n")
            for key, prefix in self.idle_peers():
                f.write(f"[Peer]\nPublicKey={base64.b64encode(key).decode()}\nAllowedIPs={prefix}\n")
        wg("setconf", device, f.name)
        self.configure(name, device)


class WireguardGo(UserspaceWireguard):
    name = "wireguard-go"
    flags = ["-f"]


class Boringtun(UserspaceWireguard):
    name = "boringtun-cli"
    flags = ["-f", "--disable-drop-privileges"]


class Weft(KeyedTunnel):
    """The data plane alone."""

    name = "weft"

    def start_end(self, name, other):
        def as_hex(key):
            return base64.b64decode(key).hex()

        idle = self.lab.folder / f"{name}.peers"
        idle.write_text("".join(f"{key.hex()} {prefix}\n" for key, prefix in self.idle_peers()))
        self.start_ready(name, ["weft-tunnel-bench", "weft0", self.mtu, PORT, as_hex(self.keys[name]), self.own[name],
                                as_hex(self.public[other]), f"{self.hosts[other].ip4}:{PORT}", self.own[other] + "/32", idle])
        self.configure(name, "weft0")


class Tailnet(Tunnel):
    """Whole nodes, joined to weft-control and weft-relay on the router."""

    tls = False

    def start(self):
        if self.peers > 1:
            raise Failure(f"{self.name} is measured with one peer only")
        control = Control(self.lab.public_host("control", 2, ipv6=False), [Relay(self.lab.inet)], tls=self.tls)
        key = control.auth_key(control.user("bench"), "--reusable")
        nodes = {name: self.node(host, control) for name, host in self.hosts.items()}
        self.daemons = [node.program for node in nodes.values()]
        for name, node in nodes.items():
            node.up(key)
            self.own[name] = node.address()
        self.wait_path(nodes)

    def wait_path(self, nodes):
        nodes["a"].wait_direct(self.own["b"])
        nodes["b"].wait_direct(self.own["a"])


class Weftd(Tailnet):
    name = "weftd"

    def node(self, host, control):
        return Node(host, control, env={"TS_DEBUG_MTU": str(self.mtu)})


class Relayed(Weftd):
    """The same with UDP blocked between them."""

    name = "weftd-relayed"

    def start(self):
        self.lab.inet.drop_udp(True)
        super().start()

    def wait_path(self, nodes):
        self.lab.a.run("ping", "-c", "1", "-W", "20", self.own["b"])


class GivenOfficialNode(OfficialNode):
    """The official node from a given path, with the client beside it."""

    def __init__(self, host, control, path, mtu):
        self.host, self.control, self.bin = host, control, Path(path).resolve().parent
        self.folder = host.lab.folder / f"node-{host.name}"
        self.folder.mkdir()
        self.socket = self.folder / "tailscaled.sock"
        self.program = host.start("tailscaled", [
            path, f"--statedir={self.folder}", f"--state={self.folder}/tailscaled.state", f"--socket={self.socket}",
            "--tun=ts0", "--no-logs-no-support"],
            control.environment | {"TS_DEBUG_FIREWALL_MODE": "nftables", "TS_DEBUG_MTU": str(mtu)})
        self.wait_ready()


class Tailscaled(Tailnet):
    name = "tailscaled"
    tls = True

    def node(self, host, control):
        return GivenOfficialNode(host, control, self.path, self.mtu)


KINDS = {kind.name: kind for kind in (Bare, Ceiling, WireguardGo, Boringtun, Tailscaled, Weft, Weftd, Relayed)}
NEED_PATH = ("tailscaled", "boringtun-cli")
DEFAULT = ("none", "ceiling", "wireguard-go", "weft", "weftd")
