"""Subnet routers, exit nodes, the firewall rules they need, and what --cleanup takes away."""

import os
import signal
import sys

from tailnet import Node
from topology import BUILD, wait_until

SUBNET = "192.168.12.0/24"
WEB = "198.51.100.1"  # somewhere on the internet

# Tells each caller the address that it was seen from.
MIRROR = """
import socket
s = socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    c, who = s.accept()
    c.sendall(who[0].removeprefix("::ffff:").encode())
    c.close()
"""
ASK = "import socket, sys; print(socket.create_connection((sys.argv[1], 80), 2).recv(100).decode())"


def seen_from(host, target):
    """How the mirror at target sees host; None if it cannot be reached."""
    done = host.run(sys.executable, "-c", ASK, target, check=False)
    return done.stdout.strip() or None


def mirror(host, address="127.0.0.1"):
    host.start("mirror", [sys.executable, "-c", MIRROR])
    wait_until("the mirror", lambda: host.run("ss", "-Hltn", "sport = :80").stdout, 30)


def approve(tailnet, node, *routes):
    name = node.status()["Self"]["HostName"]
    ident = next(n["id"] for n in tailnet.nodes() if n["givenName"] == name)
    tailnet.cli("nodes", "approve-routes", "-i", ident, "-r", ",".join(routes))


def laptop_in(lab, tailnet, *flags):
    node = Node(lab.nat("home", 11).host("laptop", 2), tailnet)
    node.up(tailnet.key, "--hostname=laptop", *flags)
    return node


def rules(host):
    return host.run("nft", "list", "ruleset").stdout


def test_a_subnet_router(lab, tailnet):
    office = lab.nat("office", 12)
    printer = office.host("printer", 3)
    mirror(printer)
    router = Node(office.host("router", 2), tailnet)
    router.up(tailnet.key, "--hostname=router", f"--advertise-routes={SUBNET}")
    assert "does not forward IPv4" in "".join(router.status()["Health"])
    router.host.sysctl("net.ipv4.ip_forward", 1)
    wait_until("no complaint about forwarding", lambda: not router.status().get("Health"), 30)
    laptop = laptop_in(lab, tailnet)
    approve(tailnet, router, SUBNET)
    laptop.host.run("ping", "-c3", "-i0.5", "-W5", router.address())
    assert seen_from(laptop.host, printer.ip4) is None, "routes are not accepted by themselves"

    laptop.weft("set", "--accept-routes")
    wait_until("the printer", lambda: seen_from(laptop.host, printer.ip4) == router.host.ip4, 30)
    assert "ts-postrouting" in rules(router.host)

    router.weft("set", "--snat-subnet-routes=false")
    printer.ip("route", "add", "100.64.0.0/10", "via", router.host.ip4)
    wait_until("its true address", lambda: seen_from(laptop.host, printer.ip4) == laptop.address(), 30)

    router.weft("set", "--netfilter-mode=off")
    wait_until("no rules of ours", lambda: "ts-" not in rules(router.host), 30)
    router.weft("set", "--advertise-routes=")
    wait_until("no route", lambda: seen_from(laptop.host, printer.ip4) is None, 30)


def test_the_hosts_own_firewall_stays(lab, tailnet):
    """A host that drops everything lets in what the tunnel brings, and keeps its rules."""
    one, two = (Node(lab.public_host(name, 20 + i), tailnet) for i, name in enumerate(("one", "two")))
    one.host.nft("table ip filter {\n chain INPUT {\n type filter hook input priority 0; policy drop;\n"
                 " ct state established,related accept\n udp dport 9 accept\n }\n}\n")
    for node in (one, two):
        node.up(tailnet.key)
    two.host.run("ping", "-c3", "-i0.5", "-W5", one.address())
    assert one.program.stop() == 0
    left = rules(one.host)
    assert "policy drop" in left and "udp dport 9 accept" in left and "ts-" not in left


def test_an_exit_node(lab, tailnet):
    lab.inet.ip("addr", "add", f"{WEB}/32", "dev", "lo")
    mirror(lab.inet)
    neighbour = lab.public_host("neighbour", 31)
    mirror(neighbour)
    gate = Node(lab.public_host("gate", 30), tailnet)
    gate.host.sysctl("net.ipv4.ip_forward", 1)
    gate.host.sysctl("net.ipv6.conf.all.forwarding", 1)
    gate.up(tailnet.key, "--hostname=gate", "--advertise-exit-node")
    laptop = laptop_in(lab, tailnet)
    approve(tailnet, gate, "0.0.0.0/0", "::/0")
    home = laptop.host.ip4.rsplit(".", 1)[0] + ".1"
    assert seen_from(laptop.host, WEB) == "203.0.113.11"

    wait_until("an offer", lambda: laptop.weft("set", "--exit-node=gate", check=False).returncode == 0, 30)
    wait_until("the way through the exit node", lambda: seen_from(laptop.host, WEB) == gate.host.ip4, 30)
    assert seen_from(laptop.host, neighbour.ip4) is None, "an exit node does not lead into its own network"
    assert laptop.host.run("ping", "-c1", "-W1", home, check=False).returncode, "nor does one leave the local network open"
    laptop.weft("set", "--exit-node-allow-lan-access")
    wait_until("the local network", lambda: laptop.host.run("ping", "-c1", "-W1", home, check=False).returncode == 0, 30)
    assert seen_from(laptop.host, WEB) == gate.host.ip4

    gate.program.kill()
    assert seen_from(laptop.host, WEB) is None, "without its exit node nothing leaves in the clear"
    laptop.weft("set", "--exit-node=")
    wait_until("the way home", lambda: seen_from(laptop.host, WEB) == "203.0.113.11", 30)


def test_cleanup(lab, tailnet):
    """Killed with its privileged half, a daemon leaves rules behind; --cleanup does not."""
    one = Node(lab.public_host("one", 20), tailnet)
    before = one.host.run("ip", "rule").stdout + one.host.run("ip", "-6", "rule").stdout
    one.up(tailnet.key)
    wait_until("rules", lambda: "ts-input" in rules(one.host), 30)
    children = one.host.run("ps", "-o", "pid=", "--ppid", one.program.pid).stdout.split()
    for pid in (*map(int, children), one.program.pid):
        os.kill(pid, signal.SIGKILL)
    one.program.process.wait()
    assert "ts-input" in rules(one.host) and "lookup 52" in one.host.run("ip", "rule").stdout
    for _ in range(2):  # again, with nothing left to do
        one.host.run(BUILD / "weftd", "--cleanup")
        assert "ts-" not in rules(one.host)
        assert one.host.run("ip", "rule").stdout + one.host.run("ip", "-6", "rule").stdout == before
        assert not one.host.run("ip", "route", "show", "table", "52", check=False).stdout.strip()
