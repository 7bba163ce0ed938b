"""weftd on the official control server and relay: paths, routes, names, and what it sees of its peers. Runs before test_elsewhere_sessions.py."""

import json

import pytest

from official import OfficialNode
from topology import wait_until
from world import addresses_of, endpoints_of, leaves_at, peer, transfer

pytestmark = pytest.mark.direction("weftd, official server and relay")


def test_100_MB_each_way_relayed(shared_elsewhere):
    """First of all, while no path between them was ever direct."""
    shared_elsewhere.close_direct_paths()
    transfer(shared_elsewhere.weft1, shared_elsewhere.off1)


def test_100_MB_each_way_direct(place):
    place.weft1.wait_direct(place.off1.address(), 40)
    place.off1.wait_direct(place.weft1.address(), 40)
    transfer(place.weft1, place.off1)


def test_netcheck_finds_relay_and_STUN(place):
    """The address is what the relay's STUN saw: the NAT's."""
    report = json.loads(place.weft1.weft("netcheck", "--format=json").stdout)
    assert report["PreferredDERP"] == 901 and report["UDP"] and report["IPv4"] and not report["MappingVariesByDestIP"]
    assert report["GlobalV4"].startswith(place.nats[0].ip4 + ":")


@pytest.mark.parametrize("trusts", ["certificate file", "pin"])
def test_relay_over_TLS(place, trusts):
    """Trusted through SSL_CERT_FILE, or by a pin in the DERP map and nothing else: a node is up when it is connected to its relay."""
    before = place.relay.clients()
    guest = place.guest(trust=place.control.certificate if trusts == "pin" else None)
    if trusts == "pin":
        place.join(guest, "--timeout=1s", check=False)
        wait_until("it to refuse the relay without the pin", lambda: "cannot be trusted" in guest.program.output(), 20)
        assert guest.status()["BackendState"] == "Starting" and place.relay.clients() == before
        place.control.send_map(place.key(guest.host.name), DERPMap=place.relay.derp_map(pinned=True))
    place.join(guest)
    assert place.relay.clients() == before + 1
    guest.program.stop()


def test_names_resolve(place):
    """A name of the tailnet at our node and at theirs; after a rename the new one."""
    for node, other in ((place.weft1, place.off1), (place.off1, place.weft1)):
        name, known = other.host.name, {other.address()}
        for label in (f"also-{name}", name):
            place.control.change(name, Name=f"{label}.test.example.")
            wait_until("the new name", lambda: peer(node, name)["DNSName"] == f"{label}.test.example.", 2)
            for asked in (label, f"{label}.test.example"):
                wait_until(f"{asked} to resolve at {node.host.name}", lambda: known & addresses_of(node, asked), 10)


def test_peer_expired(place):
    guest = place.guest(make=OfficialNode)
    place.join(guest)
    name = guest.host.name
    wait_until("weftd to see it", lambda: peer(place.weft1, name), 2)
    place.control.change(name, KeyExpiry="2020-01-01T00:00:00Z")
    wait_until("weftd to see it expire", lambda: peer(place.weft1, name).get("Expired"), 2)
    guest.program.stop()


def test_moves_to_another_network(place):
    """And back: the peer hears the new address within 2 s of the server, and the path is direct again."""
    address = place.weft1.address()
    for nat in (place.nats[2], place.nats[0]):
        nat.adopt(place.weft1.host, 2)

        def is_there(endpoints):
            return any(e.startswith(nat.ip4 + ":") for e in endpoints or [])
        wait_until(f"the server to hear of {nat.ip4}", lambda: is_there(place.control.node("weft1").get("Endpoints")), 40)
        wait_until(f"the peer to see {nat.ip4}", lambda: is_there(endpoints_of(place.off1, address)), 2)
        wait_until(f"the direct path to {nat.ip4}", lambda: f" via {nat.ip4}:" in place.off1.wait_direct(address, 40), 40)


def test_peer_moved_to_another_endpoint(place):
    guest = place.guest(make=OfficialNode)
    place.join(guest)
    address, moved = guest.address(), "203.0.113.250"
    wait_until("weftd to see the guest", lambda: endpoints_of(place.weft1, address), 10)
    guest.host.ip("addr", "add", f"{moved}/24", "dev", "eth0")
    wait_until("the guest to know its address", lambda: any(moved in a for a in guest.status()["Self"]["Addrs"] or []), 30)
    wait_until("weftd to know it", lambda: any(moved in e for e in endpoints_of(place.weft1, address)), 2)
    guest.program.stop()


@pytest.mark.parametrize("router,client", [("off1", "weft1"), ("weft1", "off1")])
def test_subnet_route(place, router, client):
    router, client = getattr(place, router), getattr(place, client)
    name, subnet, inside = router.host.name, "10.78.0.0/24", "10.78.0.1"
    router.host.ip("addr", "add", f"{inside}/32", "dev", "lo")
    client.weft("set", "--accept-routes")
    router.weft("set", f"--advertise-routes={subnet}")
    try:
        wait_until("the server to hear of it", lambda: subnet in (place.control.node(name)["Hostinfo"].get("RoutableIPs") or []), 5)
        place.serves(name, subnet, primary=[subnet])
        wait_until("the client to see the route", lambda: subnet in (peer(client, name).get("PrimaryRoutes") or []), 2)
        wait_until("an answer through the route", lambda: place.reaches(client, inside), 40)
        place.serves(name)
        wait_until("the client to see it withdrawn", lambda: subnet not in (peer(client, name).get("PrimaryRoutes") or []), 2)
        wait_until("no answer any more", lambda: not place.reaches(client, inside), 5)
    finally:
        place.serves(name)
        client.weft("set", "--accept-routes=false")
        router.weft("set", "--advertise-routes=")
        router.host.ip("addr", "del", f"{inside}/32", "dev", "lo")


@pytest.mark.parametrize("exit_node,client", [("off1", "weft1"), ("weft1", "off1")])
def test_exit_node(place, exit_node, client):
    """Offered, used for what goes to the internet, withdrawn."""
    exit_node, client = getattr(place, exit_node), getattr(place, client)
    name = exit_node.host.name
    exit_node.weft("set", "--advertise-exit-node")
    try:
        wait_until("the server to hear of it", lambda: "0.0.0.0/0" in (place.control.node(name)["Hostinfo"].get("RoutableIPs") or []), 5)
        place.serves(name, "0.0.0.0/0", "::/0")
        wait_until("the client to see the offer", lambda: peer(client, name)["ExitNodeOption"], 2)
        client.weft("set", f"--exit-node={exit_node.address()}")
        wait_until("the client to use it", lambda: peer(client, name)["ExitNode"], 5)
        wait_until("packets of the client at the exit node", lambda: leaves_at(exit_node, client), 40, every=0)
        place.serves(name)
        wait_until("the client to see the offer withdrawn", lambda: not peer(client, name)["ExitNodeOption"], 2)
    finally:
        place.serves(name)
        client.weft("set", "--exit-node=")
        exit_node.weft("set", "--advertise-exit-node=false")
