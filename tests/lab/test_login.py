"""Keys that end and logins that are renewed."""

import re
import sys

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


def online(tailnet, name):
    return next(node["online"] for node in tailnet.nodes() if node["givenName"] == name)


def test_an_expired_node_logs_in_again(lab, tailnet):
    one, two = joined(lab, tailnet)
    address = one.address()
    wait_until("traffic", lambda: reaches(two, address), 30)
    tailnet.cli("nodes", "expire", "-i", ident(tailnet, "one"))
    wait_until("a node that needs to log in", lambda: one.status()["BackendState"] == "NeedsLogin", 30)
    wait_until("no traffic", lambda: not reaches(two, address), 30)
    shown = one.weft("status", check=False)
    assert shown.returncode == 1 and shown.stdout.startswith("Logged out.\n")

    one.up(tailnet.key, "--hostname=one", "--force-reauth")
    assert one.address() == address and len(tailnet.nodes()) == 2
    wait_until("traffic again", lambda: reaches(two, address), 30)


def test_a_login_by_url(lab, tailnet):
    node = Node(lab.public_host("one", 20), tailnet)
    asking = node.host.start("up", [*node.weft_command(), "up", f"--login-server={tailnet.url}"])
    found = wait_until("an address to visit", lambda: re.search(r"To authenticate, visit:\n\n\t(\S+)\n", asking.output()), 30)
    tailnet.cli("auth", "register", "--auth-id", found.group(1).rsplit("/", 1)[1], "--user", "alice")
    assert asking.process.wait(15) == 0
    assert asking.output().endswith("Success.\n")
    node.weft("logout")
    assert node.status()["BackendState"] == "NeedsLogin"
    assert node.weft("down", check=False).returncode == 0


def test_down_and_up(lab, tailnet):
    one, two = joined(lab, tailnet)
    wait_until("traffic", lambda: reaches(two, one.address()), 30)
    address = one.address()
    one.weft("down")
    assert one.weft("status", check=False).stdout == "Tailscale is stopped.\n"
    assert not reaches(two, address)
    assert one.weft("down").stderr == "Tailscale was already stopped.\n"
    one.weft("up")
    wait_until("traffic again", lambda: reaches(one, two.address()), 30)
    assert reaches(two, address)
    refused = one.weft("up", "--accept-routes", check=False)
    assert refused.returncode == 1 and "--hostname=one" in refused.stderr and "\ttailscale up --accept-routes" in refused.stderr
    one.weft("set", "--update-check=false", "--auto-update=false")
    warned = two.weft("set", "--advertise-routes=10.1.0.0/16")
    assert "does not forward IPv4" in warned.stderr
    two.weft("set", "--snat-subnet-routes=false")
    assert "with --advertise-exit-node" in two.weft("set", "--advertise-exit-node").stderr
    two.weft("set", "--advertise-exit-node=false")
    one.weft("up", "--reset", f"--login-server={tailnet.url}")
    wait_until("the name of the system again", lambda: one.prefs()["Hostname"] == "", 15)


def test_settings_that_are_not_supported_are_refused_by_name(lab, tailnet):
    node = Node(lab.public_host("one", 20), tailnet)
    for setting in ("--auto-update", "--webclient", "--relay-server-port=40000", "--relay-server-static-endpoints=192.0.2.1:40000",
                    "--remote-config", "--ssh", "--advertise-connector", "--report-posture", "--exit-node=auto:any"):
        refused = node.weft("set", setting, check=False)
        assert refused.returncode == 1 and "is not supported by this version of weftd" in refused.stderr, setting
        flag = setting.split("=")[0]
        assert flag in refused.stderr
        assert flag == "--exit-node" or flag not in node.weft("set", "--help").stdout
    for command in (("up", "--client-id=x"), ("login", "--id-token=x"), ("version", "--upstream")):
        refused = node.weft(*command, check=False)
        assert refused.returncode == 1 and "is not supported by this version of weft" in refused.stderr, command
    assert "no UDP port" in node.weft("set", "--relay-server-port=x", check=False).stderr
    assert "no endpoint" in node.weft("set", "--relay-server-static-endpoints=x", check=False).stderr
    node.weft("set", "--auto-update=false", "--webclient=false", "--relay-server-port=", "--relay-server-static-endpoints=",
              "--remote-config=false", "--ssh=false", "--advertise-connector=false", "--report-posture=false")


def test_the_status_as_a_page(lab, tailnet):
    node = joined(lab, tailnet)[0]
    page = node.host.start("page", [*node.weft_command(), "status", "--web", "--listen=127.0.0.1:8384", "--browser=false"])
    wait_until("an address", lambda: "Serving Tailscale status at http://127.0.0.1:8384 ...\n" in page.output(), 30)

    def get(path="/", name="127.0.0.1:8384", method="GET"):
        script = ("import http.client, sys\nc = http.client.HTTPConnection('127.0.0.1', 8384)\n"
                  "c.request(sys.argv[1], sys.argv[2], headers={'Host': sys.argv[3]})\nr = c.getresponse()\nprint(r.status, r.read().decode())")
        return node.host.run(sys.executable, "-c", script, method, path, name).stdout

    assert "no address to listen on" in node.weft("status", "--web", "--listen=x", check=False).stderr
    shown = get()
    assert shown.startswith("200 <!DOCTYPE html>")
    assert f"<td>{node.address()}</td><td>one</td>" in shown and "<td>two</td>" in shown
    assert get("/x").startswith("404") and get(method="POST").startswith("405")
    assert get(name="evil.example:8384").startswith("403"), "another name for our address would let any page read this one"
    node.weft("down")
    assert "Tailscale is stopped." in get()
    node.program.kill()
    assert get().startswith("502")
    page.kill()


def test_without_sync_nothing_new_is_taken(lab, tailnet):
    one, two = joined(lab, tailnet)
    wait_until("traffic", lambda: reaches(two, one.address()), 30)
    one.weft("set", "--sync=false")
    assert one.prefs()["Sync"] is False
    shown = one.weft("status").stdout
    assert "weft set --sync" in shown and re.search("^100[.0-9]+ +one .*offline", shown, re.M), shown
    wait_until("a server that misses the node", lambda: not online(tailnet, "one"), 60)
    tailnet.cli("nodes", "rename", "-i", ident(tailnet, "two"), "other")
    assert reaches(one, two.address())
    assert "other" not in one.weft("status").stdout
    one.restart()
    wait_until("traffic with what is known", lambda: reaches(one, two.address()), 30)
    assert "other" not in one.weft("status").stdout and not online(tailnet, "one")
    one.weft("set", "--sync")
    wait_until("the new name", lambda: "other" in one.weft("status").stdout, 30)
