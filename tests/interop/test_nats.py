"""tailscaled and weftd with real TUN devices, through the NATs of the lab that the shared tailnet does not have."""

import re

import pytest

from conftest_lab import make_tailnet
from official import OfficialNode
from tailnet import Node
from topology import wait_until
from world import transfer

pytestmark = pytest.mark.direction("official client beside weftd")


@pytest.fixture
def nodes(lab, generation):
    """An official node and one of ours for each kind of network: {"hard": (official, ours), ...}."""
    tailnet = make_tailnet(lab, tls=True, pinned=generation != "v1.80")
    made = {}
    for number, (kind, ipv6) in enumerate((("hard", False), ("six", True)), 1):
        pair = []
        for place, make in ((10, OfficialNode), (20, Node)):
            host = lab.nat(f"nat{place + number}", place + number, "hard", ipv6).host(f"{kind}{place}", 2)
            node = make(host, tailnet, generation) if make is OfficialNode else make(host, tailnet)
            node.up(tailnet.key, f"--hostname={host.name}")
            pair.append(node)
        made[kind] = pair
    return made


def test_relayed_through_hard_NATs_and_direct_over_IPv6(nodes):
    """Either side begins; the second pair has routed IPv6 beside the same NATs."""
    theirs, ours = nodes["hard"]
    for a, b in ((theirs, ours), (ours, theirs)):
        a.wait_relayed(b.address(), 40)
        a.host.run("ping", "-c2", "-i0.2", "-W2", b.address())
    theirs, ours = nodes["six"]
    for a, b in ((theirs, ours), (ours, theirs)):
        wait_until("a pong over IPv6", lambda: re.search(r"via \[2001:db8:", a.wait_direct(b.address(), 40)), 40)
        transfer(a, b, 20_000_000, version=6)
    for a, b in ((nodes["hard"][0], nodes["six"][1]), (nodes["hard"][1], nodes["six"][0])):
        a.wait_relayed(b.address(), 40)
