"""Official clients on our control server and relay, beside our node."""

import re
import subprocess

from official import OfficialNode
from tailnet import Node
from topology import wait_until


def three_nodes(lab, tailnet, generation, kind="easy"):
    """Two official clients and one of ours, each behind a NAT of its own."""
    nodes = []
    for number, (name, make) in enumerate((("off1", OfficialNode), ("off2", OfficialNode), ("weft1", Node)), 11):
        host = lab.nat(f"nat{number}", number, kind).host(name, 2)
        node = make(host, tailnet, generation) if make is OfficialNode else make(host, tailnet)
        node.up(tailnet.key, f"--hostname={name}")
        nodes.append(node)
    wait_until("all to see all", lambda: all(len(node.status()["Peer"] or {}) == 2 for node in nodes), 15)
    return nodes


def test_direct_between_all(lab, tailnet, generation):
    nodes = three_nodes(lab, tailnet, generation)
    for a in nodes:
        for b in nodes:
            if a is not b:
                a.wait_direct(b.address(), 40)
    for a in nodes:
        b = nodes[(nodes.index(a) + 1) % 3]
        a.host.run("ping", "-c3", "-i0.2", "-W2", b.address(6))


def test_relayed_between_all(lab, tailnet, generation):
    nodes = three_nodes(lab, tailnet, generation, "hard")
    for a in nodes:
        for b in nodes:
            if a is not b:
                a.wait_relayed(b.address(), 40)
                a.host.run("ping", "-c2", "-i0.2", "-W2", b.address())


def test_changes_are_seen_within_two_seconds(lab, tailnet, generation):
    official, _, ours = three_nodes(lab, tailnet, generation)
    node_id = next(node["id"] for node in tailnet.nodes() if node["givenName"] == "weft1")
    tailnet.cli("nodes", "rename", "-i", node_id, "renamed")

    def names(node):
        return {peer["DNSName"].split(".")[0] for peer in (node.status()["Peer"] or {}).values()}
    wait_until("the official client to see the new name", lambda: "renamed" in names(official), 2)
    tailnet.cli("--force", "nodes", "delete", "-i", node_id)
    wait_until("the official client to see it gone", lambda: "renamed" not in names(official), 2)


def test_server_restart_without_new_login(lab, tailnet, generation):
    one, two, ours = three_nodes(lab, tailnet, generation)
    before = sorted(node["nodeKey"] for node in tailnet.nodes())
    tailnet.program.kill()
    tailnet.restart()
    wait_until("all back online", lambda: all(node["online"] for node in tailnet.nodes()), 60)
    assert sorted(node["nodeKey"] for node in tailnet.nodes()) == before
    one.host.run("ping", "-c2", "-W2", ours.address())


def test_interactive_login(lab, tailnet, generation):
    """The client prints an address; the administrator approves what it names."""
    node = OfficialNode(lab.public_host("off1", 20), tailnet, generation)
    process = subprocess.Popen(
        ["ip", "netns", "exec", node.host.netns, node.bin / "tailscale", f"--socket={node.socket}", "up", f"--login-server={tailnet.url}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        text = ""
        while "register/" not in text:
            text += process.stdout.readline()
        auth_id = re.search(r"register/(\S+)", text).group(1)
        tailnet.cli("auth", "register", "--user", "alice", "--auth-id", auth_id)
        assert process.wait(20) == 0
    finally:
        process.kill()
    assert node.status()["BackendState"] == "Running"


def test_logout_and_login_again(lab, tailnet, generation):
    node = OfficialNode(lab.public_host("off1", 20), tailnet, generation)
    node.up(tailnet.key)
    address = node.address()
    node.weft("logout")
    wait_until("the server to see the logout", lambda: not tailnet.nodes()[0]["online"], 30)
    node.up(tailnet.key)
    assert node.address() == address
    assert len(tailnet.nodes()) == 1
