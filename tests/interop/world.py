"""The tailnet that the cases of a generation share: a control server and a relay of ours, two official clients and one weftd.

    control 203.0.113.2    relay 203.0.113.3    guests 203.0.113.20 and up
                    |
        nat11   nat12   nat13       port-preserving NATs
         off1    off2    weft1
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

from official import HERE, OfficialNode
from tailnet import Node
from topology import Failure, wait_until

TRANSFER = HERE / "transfer.py"
PORT = 7000
NO_DIRECT_PATHS = """
table inet no_direct_paths {
    chain forward { type filter hook forward priority 0; udp dport 3478 accept; udp sport 3478 accept; meta l4proto udp drop; }
}
"""  # STUN passes: nodes find their relay
OWN_RESOLV_CONF = {"WEFT_RESOLV_CONF": "/etc/resolv.conf"}  # what its names are looked up by, too


class Paths:
    """A tailnet behind NATs that can be closed for direct paths. It begins closed: to give up a path that was direct takes ten seconds."""

    def close_nats(self, nats):
        self.nats, self.is_open = nats, False
        for nat in nats:
            nat.nft(NO_DIRECT_PATHS)

    def close_direct_paths(self):
        if self.is_open:
            self.close_nats(self.nats)
        self.at_once(lambda a: [a.wait_relayed(b.address(), 40) for b in self.nodes if b is not a])

    def open_direct_paths(self):
        if not self.is_open:
            for nat in self.nats:
                nat.run("nft", "delete", "table", "inet", "no_direct_paths")
        self.is_open = True

    def wait_direct(self):
        """Until each has a direct path to each."""
        self.open_direct_paths()
        self.at_once(lambda a: [a.wait_direct(b.address(), 40) for b in self.nodes if b is not a])

    def at_once(self, act):
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(act, self.nodes))


class World(Paths):
    def __init__(self, lab, tailnet, generation):
        self.lab, self.tailnet, self.generation = lab, tailnet, generation
        self.guests = 0
        hosts = [lab.nat(f"nat{number}", number).host(name, 2) for number, name in ((11, "off1"), (12, "off2"), (13, "weft1"))]
        self.close_nats([host for host in lab.hosts if host.name.startswith("nat")])
        with ThreadPoolExecutor(3) as pool:
            self.off1, self.off2, self.weft1 = pool.map(self.join, hosts)
        self.nodes = [self.off1, self.off2, self.weft1]
        for host in hosts:
            host.sysctl("net.ipv4.ip_forward", 1)
            host.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.settle()

    def join(self, host):
        node = Node(host, self.tailnet, env=OWN_RESOLV_CONF) if host.name.startswith("weft") else OfficialNode(host, self.tailnet, self.generation)
        self.up(node)
        return node

    def up(self, node, key=None, *flags):
        """Logs in under the name of its host; all hosts of a lab share the system's."""
        node.up(key or self.tailnet.key, f"--hostname={node.host.name}", *flags)

    def others(self, name):
        return [node for node in self.nodes if node.host.name != name]

    def settle(self, seconds=30):
        """Waits until the three see each other and the server sees them."""
        for node in self.nodes:
            wait_until(f"{node.host.name} to run and see the others", lambda: self.sees_all(node), seconds)

    def sees_all(self, node):
        status = node.status()
        online = {peer["HostName"] for peer in (status["Peer"] or {}).values() if peer["Online"]}
        return status["BackendState"] == "Running" and online >= {n.host.name for n in self.nodes if n is not node}

    def guest_host(self, name):
        self.guests += 1
        return self.lab.public_host(f"{name}{self.guests}", 20 + self.guests)

    def guest(self, name="guest", make=OfficialNode):
        """One more node, on a public address, not logged in yet."""
        host = self.guest_host(name)
        return make(host, self.tailnet, self.generation) if make is OfficialNode else make(host, self.tailnet)

    def dismiss(self, node):
        """Stops a guest and forgets it on the server."""
        node.program.stop()
        self.forget(node.host.name)

    def forget(self, name):
        for known in self.tailnet.nodes():
            if known["name"] == name:
                self.tailnet.cli("--force", "nodes", "delete", "-i", known["id"])

    def server_node(self, name):
        return next((node for node in self.tailnet.nodes() if node["name"] == name), None)


def peer(node, name):
    """What a node's status says of a peer, by the name the peer gave itself; None when it does not know it."""
    return next((p for p in (node.status()["Peer"] or {}).values() if p["HostName"] == name), None)


def addresses_of(node, name):
    return set(node.host.run("getent", "ahosts", name, check=False).stdout.split())


def endpoints_of(node, address):
    """Where a node believes a peer to be. An official whois follows patches in every generation; 1.80's `debug netmap` does not."""
    done = node.weft("whois", "--json", address, check=False)
    return json.loads(done.stdout)["Node"].get("Endpoints") or [] if done.returncode == 0 else []


def leaves_at(exit_node, client):
    """Whether a ping of the client to the internet's router goes out at the exit node."""
    def sent():
        return int((exit_node.host.ip("-s", "-j", "link", "show", "eth0").stdout and
                    json.loads(exit_node.host.ip("-s", "-j", "link", "show", "eth0").stdout)[0]["stats64"]["tx"]["packets"]))
    before = sent()
    answered = client.host.run("ping", "-c5", "-i0.1", "-W1", "203.0.113.1", check=False).returncode == 0
    return answered and sent() - before >= 5


def pairs(nodes):
    return permutations(nodes, 2)


class Half:
    """One end of a transfer: transfer.py on the host of a node. A listening one is ready when it is made."""

    def __init__(self, node, side, address, amount):
        self.name, self.text = f"{side} on {node.host.name}", ""
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", node.host.netns, sys.executable, TRANSFER, side, address, str(PORT), str(amount)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if side == "listen" and self.process.stdout.readline() != "listening\n":
            raise Failure(f"{self.name}: {self.process.stdout.read()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def result(self, seconds):
        """The sums of what it sent and received, or None."""
        try:
            self.text += self.process.communicate(timeout=seconds)[0]
            return json.loads(self.text)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.text += f"{self.process.communicate()[0]}no end within {seconds} s"
        except ValueError:
            pass
        return None


def transfer(a, b, amount=100_000_000, version=4, seconds=100):
    """Sends so many bytes (or for so long: "600s") from a to b and from b to a at once, and compares what was sent with what came."""
    address = b.address(version)
    with Half(b, "listen", address, amount) as server, Half(a, "connect", address, amount) as client:
        there, here = client.result(seconds), server.result(10)
    if not there or not here:
        raise Failure("the transfer broke off:\n" + "\n".join(f"{half.name}: {half.text}" for half in (client, server)))
    assert there["sent"] == here["received"] and here["sent"] == there["received"], "bytes changed on the way"


def lab_name(generation):
    return f"t{os.getpid()}w{generation.removeprefix('v1.')}"
