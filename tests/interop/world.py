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
OWN_RESOLV_CONF = {"WEFT_RESOLV_CONF": "/etc/resolv.conf"}  # what its names are looked up by, too


class World:
    def __init__(self, lab, tailnet, generation):
        self.lab, self.tailnet, self.generation = lab, tailnet, generation
        self.guests = 0
        hosts = [lab.nat(f"nat{number}", number).host(name, 2) for number, name in ((11, "off1"), (12, "off2"), (13, "weft1"))]
        with ThreadPoolExecutor(3) as pool:
            self.off1, self.off2, self.weft1 = pool.map(self.join, hosts)
        self.nodes = [self.off1, self.off2, self.weft1]
        for host in hosts:
            host.sysctl("net.ipv4.ip_forward", 1)
            host.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.nats = [host for host in lab.hosts if host.name.startswith("nat")]
        self.settle()

    def join(self, host):
        node = Node(host, self.tailnet, env=OWN_RESOLV_CONF) if host.name.startswith("weft") else OfficialNode(host, self.tailnet, self.generation)
        self.up(node)
        return node

    def up(self, node, key=None, *flags):
        """Logs in under the name of its host; all hosts of a lab share the system's."""
        node.up(key or self.tailnet.key, f"--hostname={node.host.name}", *flags)

    def settle(self, seconds=30):
        """Waits until the three see each other and the server sees them."""
        for node in self.nodes:
            wait_until(f"{node.host.name} to run and see the others", lambda: self.sees_all(node), seconds)

    def sees_all(self, node):
        status = node.status()
        online = {peer["HostName"] for peer in (status["Peer"] or {}).values() if peer["Online"]}
        return status["BackendState"] == "Running" and online >= {n.host.name for n in self.nodes if n is not node}

    def wait_direct(self):
        """Until each has a direct path to each."""
        self.at_once(lambda a: [a.wait_direct(b.address(), 40) for b in self.nodes if b is not a])

    def wait_relayed(self):
        self.at_once(lambda a: [a.wait_relayed(b.address(), 40) for b in self.nodes if b is not a])

    def at_once(self, act):
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(act, self.nodes))

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
        for known in self.tailnet.nodes():
            if known["name"] == node.host.name:
                self.tailnet.cli("--force", "nodes", "delete", "-i", known["id"])

    def server_node(self, name):
        return next((node for node in self.tailnet.nodes() if node["name"] == name), None)

    def block_udp(self, on):
        for nat in self.nats:
            nat.drop_udp(on)


def peer(node, name):
    """What a node's status says of a peer, by the name the peer gave itself; None when it does not know it."""
    return next((p for p in (node.status()["Peer"] or {}).values() if p["HostName"] == name), None)


def pairs(nodes):
    return permutations(nodes, 2)


def transfer(a, b, amount=100_000_000, version=4, seconds=100):
    """Sends so many bytes (or for so long: "600s") from a to b and from b to a at once, and compares what was sent with what came."""
    address = b.address(version)

    def run(node, side):
        return subprocess.Popen(["ip", "netns", "exec", node.host.netns, sys.executable, TRANSFER, side, address, str(PORT), str(amount)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with run(b, "listen") as server:
        try:
            if server.stdout.readline() != "listening\n":
                raise Failure(f"no server on {b.host.name}: {server.stdout.read()}")
            with run(a, "connect") as client:
                try:
                    texts = [process.communicate(timeout=seconds)[0] for process in (client, server)]
                finally:
                    client.kill()
        finally:
            server.kill()
    try:
        there, here = (json.loads(text) for text in texts)
    except ValueError:
        raise Failure(f"the transfer between {a.host.name} and {b.host.name} broke off:\n" + "\n".join(texts)) from None
    assert there["sent"] == here["received"] and here["sent"] == there["received"], "bytes changed on the way"


def lab_name(generation):
    return f"t{os.getpid()}w{generation.removeprefix('v1.')}"
