"""`weft netcheck`, and the choice of a home relay where UDP is blocked."""

import json

from conftest_lab import make_tailnet
from tailnet import Node, Relay
from topology import wait_until


def home(node):
    return node.status()["Self"]["Relay"]


def test_what_netcheck_tells(lab, tailnet):
    nat = lab.nat("home", 11)
    node = Node(nat.host("laptop", 2), tailnet)
    node.up(tailnet.key)
    text = node.weft("netcheck", "--verbose", "--bind-port=4000").stdout
    assert "\t* UDP: true\n" in text and f"\t* IPv4: yes, {nat.ip4}:4000\n" in text
    assert "\t* Nearest DERP: Lab 900\n" in text and "(derp900, Lab 900)" in text
    report = json.loads(node.weft("netcheck", "--format=json-line", f"--bind-address={node.host.ip4}").stdout)
    assert report["UDP"] and report["IPv4CanSend"] and not report["IPv6CanSend"] and report["PreferredDERP"] == 900
    assert report["RegionLatency"].keys() == {"900"}
    refused = node.weft("netcheck", "--bind-address=192.0.2.1", check=False)
    assert refused.returncode == 1 and "192.0.2.1" in refused.stderr


def test_the_home_relay_where_udp_is_blocked(lab):
    """Of several relays only one can be reached, over TCP alone: HTTPS finds it."""
    others = [Relay(lab.public_host(f"far{i}", 30 + i), region=910 + i) for i in range(4)]
    tailnet = make_tailnet(lab, relays=others)
    nat = lab.nat("home", 11)
    nat.drop_udp(True)
    unreachable = ", ".join(relay.host.ip4 for relay in others)
    nat.nft(f"table ip block {{\n chain f {{\n type filter hook forward priority 0;\n ip daddr {{ {unreachable} }} tcp dport 443 drop\n }}\n}}")
    node = Node(nat.host("laptop", 2), tailnet)
    node.up(tailnet.key)
    wait_until("a home relay", lambda: home(node), 30)
    assert home(node) == "lab900"
    text = node.weft("netcheck").stdout
    assert "\t* UDP: false\n" in text and "\t* Nearest DERP: Lab 900\n" in text
