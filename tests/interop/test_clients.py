"""Official clients on our control server and relay, beside our node: what one tailnet sees."""

import json
import os
import re
import signal
import subprocess

import pytest

from official import OfficialNode, helper
from tailnet import Node
from topology import wait_until
from world import PORT, Half, addresses_of, endpoints_of, leaves_at, pairs, peer, transfer

pytestmark = pytest.mark.direction("official client, our server and relay")


def transfer_between_all(world):
    """Each with each, both ways at once, either kind as the one that connects."""
    for a, b in ((world.off1, world.off2), (world.off1, world.weft1), (world.weft1, world.off2)):
        transfer(a, b)


def test_100_MB_each_way_relayed(shared_world):
    """First of all, while no path between them was ever direct."""
    shared_world.close_direct_paths()
    transfer_between_all(shared_world)


def test_direct_paths_between_all(world):
    world.wait_direct()
    for a, b in pairs(world.nodes):
        a.host.run("ping", "-6", "-c2", "-i0.2", "-W2", b.address(6))


def test_100_MB_each_way_direct(world):
    world.wait_direct()
    transfer_between_all(world)


def test_names_resolve(world):
    """Theirs and ours, at theirs and at ours."""
    for node, name in ((world.off1, "weft1"), (world.off1, "off2.weft.test"), (world.weft1, "off1"), (world.weft1, "off2.weft.test")):
        known = set(peer(node, name.split(".")[0])["TailscaleIPs"])
        wait_until(f"{name} to resolve at {node.host.name}", lambda: addresses_of(node, name) & known, 10)


KINDS = pytest.mark.parametrize("kind", [OfficialNode, Node], ids=["official", "weftd"])


@KINDS
def test_peer_added_and_deleted(world, kind):
    guest = world.guest("guest", kind)
    world.up(guest)
    name = guest.host.name
    wait_until("all to see the new peer", lambda: all(peer(node, name) for node in world.nodes), 2)
    world.tailnet.cli("--force", "nodes", "delete", "-i", world.server_node(name)["id"])
    wait_until("all to see it gone", lambda: not any(peer(node, name) for node in world.nodes), 2)
    guest.program.stop()


@pytest.mark.parametrize("name", ["off2", "weft1"])
def test_peer_renamed(world, name):
    number = world.server_node(name)["id"]
    for new in ("renamed", name):
        world.tailnet.cli("nodes", "rename", "-i", number, new)
        wait_until(f"the others to see the name {new}", lambda: all(
            peer(node, name)["DNSName"].split(".")[0] == new for node in world.others(name)), 2)


@pytest.mark.parametrize("name", ["off2", "weft1"])
def test_peer_expired(world, name):
    node = getattr(world, name)
    world.tailnet.cli("nodes", "expire", "-i", world.server_node(name)["id"])
    wait_until("the others to see the key expire", lambda: all(peer(other, name).get("Expired") for other in world.others(name)), 2)
    wait_until(f"{name} to need a login", lambda: node.status()["BackendState"] == "NeedsLogin", 10)
    world.up(node, None, "--force-reauth")
    wait_until("the others to see it back", lambda: not any(peer(other, name).get("Expired") for other in world.others(name)), 2)


@KINDS
def test_peer_moved_to_another_endpoint(world, kind):
    guest = world.guest("guest", kind)
    world.up(guest)
    address, moved = guest.address(), "203.0.113.250"
    wait_until("the others to see the guest", lambda: all(endpoints_of(node, address) for node in world.nodes), 10)
    guest.host.ip("addr", "add", f"{moved}/24", "dev", "eth0")
    wait_until("the guest to know its address", lambda: any(moved in a for a in guest.status()["Self"]["Addrs"] or []), 30)
    wait_until("the others to know it", lambda: all(any(moved in e for e in endpoints_of(node, address)) for node in world.nodes), 2)
    world.dismiss(guest)


def routes_of(node, name):
    return peer(node, name).get("PrimaryRoutes") or []


@pytest.mark.parametrize("router,client", [("off2", "off1"), ("off2", "weft1"), ("weft1", "off1")])
def test_subnet_route(world, router, client):
    """Advertised, approved, used, withdrawn."""
    router, client = getattr(world, router), getattr(world, client)
    subnet, inside = "10.77.0.0/24", "10.77.0.1"
    number = world.server_node(router.host.name)["id"]
    router.host.ip("addr", "add", f"{inside}/32", "dev", "lo")
    router.weft("set", f"--advertise-routes={subnet}")
    client.weft("set", "--accept-routes")
    try:
        wait_until("the server to hear of it", lambda: subnet in world.server_node(router.host.name)["availableRoutes"], 5)
        world.tailnet.cli("nodes", "approve-routes", "-i", number, "-r", subnet)
        wait_until("the client to see the route", lambda: subnet in routes_of(client, router.host.name), 2)
        wait_until("an answer through the route",
                   lambda: client.host.run("ping", "-c1", "-W1", inside, check=False).returncode == 0, 20)
        world.tailnet.cli("nodes", "approve-routes", "-i", number)
        wait_until("the client to see it withdrawn", lambda: subnet not in routes_of(client, router.host.name), 2)
        wait_until("no answer any more", lambda: client.host.run("ping", "-c1", "-W1", inside, check=False).returncode, 5)
    finally:
        router.weft("set", "--advertise-routes=")
        client.weft("set", "--accept-routes=false")
        router.host.ip("addr", "del", f"{inside}/32", "dev", "lo")


@pytest.mark.parametrize("exit_node,client", [("off2", "off1"), ("off2", "weft1"), ("weft1", "off1")])
def test_exit_node(world, exit_node, client):
    """Approved: what the client sends to the internet comes from the exit node's address. Then withdrawn."""
    exit_node, client = getattr(world, exit_node), getattr(world, client)
    number = world.server_node(exit_node.host.name)["id"]
    exit_node.weft("set", "--advertise-exit-node")
    try:
        wait_until("the server to hear of it", lambda: "0.0.0.0/0" in world.server_node(exit_node.host.name)["availableRoutes"], 5)
        world.tailnet.cli("nodes", "approve-routes", "-i", number, "-r", "0.0.0.0/0,::/0")
        wait_until("the client to see the offer", lambda: peer(client, exit_node.host.name)["ExitNodeOption"], 2)
        client.weft("set", f"--exit-node={exit_node.address()}")
        wait_until("the client to use it", lambda: peer(client, exit_node.host.name)["ExitNode"], 5)
        wait_until("packets of the client at the exit node", lambda: leaves_at(exit_node, client), 20, every=0)
        world.tailnet.cli("nodes", "approve-routes", "-i", number)
        wait_until("the client to see the offer withdrawn", lambda: not peer(client, exit_node.host.name)["ExitNodeOption"], 2)
    finally:
        client.weft("set", "--exit-node=")
        exit_node.weft("set", "--advertise-exit-node=false")


def test_tags(world):
    """By a tagged key, and given by the administrator."""
    guest = world.guest()
    world.up(guest, world.tailnet.auth_key(world.tailnet.user_id, "--tags", "tag:door"))
    wait_until("the tag of the key", lambda: guest.status()["Self"].get("Tags") == ["tag:door"], 5)
    wait_until("the others to see it", lambda: (peer(world.off1, guest.host.name) or {}).get("Tags") == ["tag:door"], 2)
    world.tailnet.cli("nodes", "tag", "-i", world.server_node(guest.host.name)["id"], "-t", "tag:gate")
    wait_until("the new tag", lambda: peer(world.off1, guest.host.name)["Tags"] == ["tag:gate"], 2)
    world.dismiss(guest)


def test_ephemeral_node_logs_out(world):
    guest = world.guest()
    world.up(guest, world.tailnet.auth_key(world.tailnet.user_id, "--ephemeral"))
    wait_until("the others to see it", lambda: peer(world.off1, guest.host.name), 2)
    guest.weft("logout")
    wait_until("it to be gone", lambda: not world.server_node(guest.host.name) and not any(peer(node, guest.host.name) for node in world.nodes), 2)
    guest.program.stop()


def test_interactive_login(world):
    """The client prints an address; the administrator approves what it names."""
    guest = world.guest()
    process = subprocess.Popen(
        ["ip", "netns", "exec", guest.host.netns, guest.bin / "tailscale", f"--socket={guest.socket}", "up",
         f"--login-server={world.tailnet.url}", f"--hostname={guest.host.name}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        text = ""
        while "register/" not in text:
            line = process.stdout.readline()
            assert line, f"the client ended without an address: {text}"
            text += line
        auth_id = re.search(r"register/(\S+)", text).group(1)
        world.tailnet.cli("auth", "register", "--user", "alice", "--auth-id", auth_id)
        assert process.wait(20) == 0
    finally:
        process.kill()
    assert guest.status()["BackendState"] == "Running"
    world.dismiss(guest)


def test_logout_and_login_again_keep_identity(world):
    guest = world.guest()
    world.up(guest)
    address, before = guest.address(), world.server_node(guest.host.name)
    guest.weft("logout")
    wait_until("the others to see the logout", lambda: peer(world.off1, guest.host.name).get("Expired"), 2)
    world.up(guest, None, "--reset")
    after = world.server_node(guest.host.name)
    assert guest.address() == address and after["id"] == before["id"]
    world.dismiss(guest)


@pytest.mark.parametrize("name", ["off1", "weft1"])
def test_key_rotation(world, name):
    node = getattr(world, name)
    before, address = world.server_node(name)["nodeKey"], node.address()
    world.up(node, None, "--force-reauth")
    assert world.server_node(name)["nodeKey"] != before and node.address() == address
    wait_until("traffic under the new key", lambda: all(
        other.host.run("ping", "-c1", "-W1", address, check=False).returncode == 0 for other in world.others(name)), 15)


def test_program_over_tsnet(world):
    """A program that is a node by itself: our node connects to it, then it to our node; 5 MB each way each time."""
    host, ours, amount = world.guest_host("tsnet"), world.weft1, 5_000_000
    folder = host.lab.folder / "tsnet"
    folder.mkdir()
    program = host.start("tsnet", [helper(world.generation, "tsnetpeer"), folder, world.tailnet.url, world.tailnet.key, host.name, amount,
                                   f"{ours.address()}:{PORT}"], world.tailnet.environment)
    address = wait_until("it to listen", lambda: re.search(r"^address (\S+)$", program.output(), re.M), 30).group(1)
    with Half(ours, "listen", ours.address(), amount) as second, Half(ours, "connect", address, amount) as first:
        mine = [first.result(40), second.result(40)]
    assert all(mine), f"{first.name}: {first.text}\n{second.name}: {second.text}"
    assert program.stop() == 0
    others = [json.loads(line) for line in program.output().splitlines() if line.startswith("{")]
    assert [(r["sent"], r["received"]) for r in mine] == [(r["received"], r["sent"]) for r in others]
    world.forget(host.name)


def test_server_restart_without_new_login(world):
    before = {node["name"]: node["nodeKey"] for node in world.tailnet.nodes()}
    world.tailnet.program.kill()
    world.off1.host.run("ping", "-c2", "-i0.2", "-W2", world.weft1.address())
    world.tailnet.restart()
    world.settle(60)
    assert {node["name"]: node["nodeKey"] for node in world.tailnet.nodes()} == before
    world.off2.host.run("ping", "-c2", "-i0.2", "-W2", world.weft1.address())


@pytest.mark.slow
def test_server_frozen_for_a_minute(world):
    """SIGSTOP: connections stay, nothing answers. Traffic goes on, and nobody has to log in."""
    before = {node["name"]: node["nodeKey"] for node in world.tailnet.nodes()}
    world.wait_direct()
    os.kill(world.tailnet.program.pid, signal.SIGSTOP)
    try:
        transfer(world.off1, world.weft1, "60s")
    finally:
        os.kill(world.tailnet.program.pid, signal.SIGCONT)
    world.settle(60)
    assert {node["name"]: node["nodeKey"] for node in world.tailnet.nodes()} == before


@pytest.mark.slow
@pytest.mark.parametrize("a,b", [("off1", "weft1"), ("weft1", "off2")])
def test_ten_minutes_under_load(world, a, b):
    """The keys of the tunnel change every two minutes; one TCP connection each way must not notice."""
    world.wait_direct()
    transfer(getattr(world, a), getattr(world, b), "600s", seconds=660)
