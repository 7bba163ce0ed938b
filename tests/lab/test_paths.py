"""How packets find their way: direct, relayed, lost and found, over IPv4 and IPv6."""

import re
import time

import pytest

from tailnet import Node
from topology import wait_until


def two_nodes(lab, tailnet, kinds=("easy", "easy"), ipv6=False):
    nodes = []
    for number, (name, kind) in enumerate(zip(("laptop", "desk"), kinds), 11):
        nat = lab.nat(f"nat{number}", number, kind, ipv6)
        node = Node(nat.host(name, 2), tailnet)
        node.nat = nat
        node.up(tailnet.key, f"--hostname={name}")
        nodes.append(node)
    return nodes


def test_direct_through_two_port_preserving_nats(lab, tailnet):
    laptop, desk = two_nodes(lab, tailnet)
    started = time.monotonic()
    laptop.wait_direct(desk.address())
    desk.wait_direct(laptop.address())
    assert time.monotonic() - started < 30
    laptop.host.run("ping", "-c3", "-i0.2", "-W2", desk.address())
    laptop.host.run("ping", "-6", "-c3", "-i0.2", "-W2", desk.address(6))


@pytest.mark.parametrize("kinds,direct", [(("hard", "hard"), False), (("hard", "easy"), False)])
def test_hard_nats_stay_on_the_relay(lab, tailnet, kinds, direct):
    laptop, desk = two_nodes(lab, tailnet, kinds)
    laptop.wait_relayed(desk.address())
    for _ in range(5):
        assert " via DERP(" in laptop.ping(desk.address(), "--c=1", "--timeout=3s", "--until-direct=false")
    laptop.host.run("ping", "-c3", "-i0.2", "-W2", desk.address())


def test_relay_only_when_udp_is_blocked(lab, tailnet):
    laptop, desk = two_nodes(lab, tailnet)
    laptop.nat.drop_udp(True)
    laptop.wait_relayed(desk.address())
    laptop.host.run("ping", "-c5", "-i0.2", "-W2", desk.address())


def test_a_path_is_lost_and_found(lab, tailnet):
    laptop, desk = two_nodes(lab, tailnet)
    target = desk.address()
    laptop.wait_direct(target)
    laptop.nat.drop_udp(True)
    laptop.wait_relayed(target)
    laptop.host.run("ping", "-c3", "-i0.2", "-W2", target)
    laptop.nat.drop_udp(False)
    laptop.wait_direct(target, 60)


def test_ipv6_underlay_without_nat(lab, tailnet):
    """Both hard NATs on IPv4: only routed IPv6 can make a direct path."""
    laptop, desk = two_nodes(lab, tailnet, ("hard", "hard"), ipv6=True)
    line = laptop.wait_direct(desk.address())
    assert re.search(r"via \[2001:db8:", line), line


def test_same_lan_uses_the_lan(lab, tailnet):
    nat = lab.nat("home", 11)
    one, two = Node(nat.host("one", 2), tailnet), Node(nat.host("two", 3), tailnet)
    for node in (one, two):
        node.up(tailnet.key)
    line = one.wait_direct(two.address())
    assert "192.168.11.3" in line, line


def test_relay_restarted(lab, tailnet):
    laptop, desk = two_nodes(lab, tailnet, ("hard", "hard"))
    laptop.wait_relayed(desk.address())
    tailnet.relay.program.kill()
    tailnet.relay.program.start()
    laptop.wait_relayed(desk.address(), 30)
    laptop.host.run("ping", "-c3", "-i0.2", "-W2", desk.address())


def test_a_node_that_changes_its_network_is_found_again(lab, tailnet):
    laptop, desk = two_nodes(lab, tailnet)
    target = desk.address()
    laptop.wait_direct(target)
    lab.nat("cafe", 13).adopt(desk.host, 7)
    wait_until("traffic after the network changed",
               lambda: laptop.host.run("ping", "-c1", "-W1", target, check=False).returncode == 0, 30)
    assert "203.0.113.13" in laptop.wait_direct(target, 60)
