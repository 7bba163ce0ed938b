"""Keys that end and logins that are renewed."""

import re

from tailnet import Node
from topology import wait_until


def joined(lab, tailnet):
    nodes = []
    for number, name in enumerate(("one", "two"), 20):
        node = Node(lab.public_host(name, number), tailnet)
        node.up(tailnet.key, f"--hostname={name}")
        nodes.append(node)
    return nodes


def reaches(node, target):
    return node.host.run("ping", "-c1", "-W2", target, check=False).returncode == 0


def ident(tailnet, name):
    return next(node["id"] for node in tailnet.nodes() if node["givenName"] == name)


def test_an_expired_node_logs_in_again(lab, tailnet):
    one, two = joined(lab, tailnet)
    address = one.address()
    wait_until("traffic", lambda: reaches(two, address), 15)
    tailnet.cli("nodes", "expire", "-i", ident(tailnet, "one"))
    wait_until("a node that needs to log in", lambda: one.status()["BackendState"] == "NeedsLogin", 15)
    wait_until("no traffic", lambda: not reaches(two, address), 15)
    shown = one.weft("status", check=False)
    assert shown.returncode == 1 and shown.stdout.startswith("Logged out.\n")

    one.up(tailnet.key, "--hostname=one", "--force-reauth")
    assert one.address() == address and len(tailnet.nodes()) == 2
    wait_until("traffic again", lambda: reaches(two, address), 15)


def test_a_login_by_url(lab, tailnet):
    node = Node(lab.public_host("one", 20), tailnet)
    asking = node.host.start("up", [*node.weft_command(), "up", f"--login-server={tailnet.url}"])
    found = wait_until("an address to visit", lambda: re.search(r"To authenticate, visit:\n\n\t(\S+)\n", asking.output()), 15)
    tailnet.cli("auth", "register", "--auth-id", found.group(1).rsplit("/", 1)[1], "--user", "alice")
    assert asking.process.wait(15) == 0
    assert asking.output().endswith("Success.\n")
    node.weft("logout")
    assert node.status()["BackendState"] == "NeedsLogin"
    assert node.weft("down", check=False).returncode == 0


def test_down_and_up(lab, tailnet):
    one, two = joined(lab, tailnet)
    wait_until("traffic", lambda: reaches(two, one.address()), 15)
    address = one.address()
    one.weft("down")
    assert one.weft("status", check=False).stdout == "Tailscale is stopped.\n"
    assert not reaches(two, address)
    assert one.weft("down").stderr == "Tailscale was already stopped.\n"
    one.weft("up")
    wait_until("traffic again", lambda: reaches(one, two.address()), 15)
    assert reaches(two, address)
    refused = one.weft("up", "--accept-routes", check=False)
    assert refused.returncode == 1 and "--hostname=one" in refused.stderr and "\ttailscale up --accept-routes" in refused.stderr
    one.weft("set", "--update-check=false", "--auto-update=false")
    warned = two.weft("set", "--advertise-routes=10.1.0.0/16")
    assert "does not forward IPv4" in warned.stderr
    assert "--auto-update" in one.weft("set", "--auto-update", check=False).stderr
