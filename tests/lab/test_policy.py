"""Access policies: what nodes let through, and how a change of the policy reaches them."""

import json
import time

from tailnet import Control, Node, Relay
from topology import wait_until

ECHO = """
import socket, threading
def serve(c):
    while d := c.recv(4096): c.sendall(d)
def udp():
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("0.0.0.0", 7000))
    while True: d, a = u.recvfrom(2048); u.sendto(d, a)
threading.Thread(target=udp, daemon=True).start()
s = socket.create_server(("0.0.0.0", 7000))
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""
# Keeps one connection and answers each line of stdin with what the echo says, or "lost".
TALK = """
import socket, sys
c = socket.create_connection((sys.argv[1], 7000), 5); c.settimeout(5)
print("open", flush=True)
for line in sys.stdin:
    try: c.sendall(line.encode()); print(c.recv(4096).decode().strip(), flush=True)
    except OSError: print("lost", flush=True)
"""


def policy(*rules, **more):
    acls = [{"action": "accept", "src": [src], "dst": [dst]} for src, dst in rules]
    return json.dumps({"tagOwners": {"tag:srv": ["ann@"]}, "acls": acls, **more})


class World:
    """ann's laptop behind one NAT, a server with tag:srv behind another."""

    def __init__(self, lab, text, mode="file"):
        self.lab = lab
        self.relay = Relay(lab.public_host("relay", 3))
        self.file = lab.folder / "policy" / "policy.hujson"
        self.file.parent.mkdir()
        self.file.write_text(text)
        where = f"  mode: file\n  path: {self.file}\n" if mode == "file" else "  mode: database\n"
        self.control = Control(lab.public_host("control", 2), [self.relay], extra="policy:\n" + where)
        self.user = self.control.user("ann")
        home, office = lab.nat("home", 11), lab.nat("office", 12)
        self.laptop, self.server = Node(home.host("laptop", 2), self.control), Node(office.host("srv", 2), self.control)
        self.laptop.up(self.control.auth_key(self.user), "--hostname=laptop")
        self.server.up(self.control.json("preauthkeys", "create", "--tags", "tag:srv")["key"], "--hostname=srv")
        self.server.host.start("echo", ["python3", "-c", ECHO])

    def reaches(self, kind="tcp"):
        code = {"tcp": "s = socket.create_connection((sys.argv[1], 7000), 1); s.sendall(b'x'); sys.exit(s.recv(1) != b'x')",
                "udp": "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.sendto(b'x', (sys.argv[1], 7000)); sys.exit(s.recv(1) != b'x')"}[kind]
        done = self.laptop.host.run("python3", "-c", "import socket, sys; " + code, self.server.address(), check=False)
        return done.returncode == 0

    def sees(self, node):
        return bool(node.peers())

    def put(self, text):
        """As an editor does it: a new file in the old one's place."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.rename(self.file)


def test_a_change_decides_new_connections_and_leaves_open_ones(lab):
    w = World(lab, policy(("ann@", "tag:srv:7000")))
    wait_until("the port to be open", w.reaches, 30)
    assert w.reaches("udp")
    talk = w.laptop.host.popen("python3", "-c", TALK, w.server.address())
    assert talk.stdout.readline() == "open\n"

    w.put(policy(("ann@", "tag:srv:22")))
    wait_until("the port to be closed", lambda: not w.reaches(), 30)
    assert not w.reaches("udp"), "a new flow, refused"
    assert w.sees(w.laptop), "port 22 is still allowed, so the nodes still see each other"
    talk.stdin.write("still here\n")
    talk.stdin.flush()
    assert talk.stdout.readline() == "still here\n", "what was open goes on"

    w.put(policy(("ann@", "tag:srv:7000")))
    wait_until("the port to be open again", w.reaches, 30)
    talk.kill()

    w.put(policy())
    wait_until("nobody to see anybody", lambda: not w.sees(w.laptop) and not w.sees(w.server), 30)


def test_a_bad_file_changes_nothing(lab):
    w = World(lab, policy(("ann@", "tag:srv:7000")))
    wait_until("the port to be open", w.reaches, 30)
    for bad, why in (("{\"acls\": [", "policy"), (policy(("nobody-has-this-tag", "tag:srv:22")), "nobody-has-this-tag"), ("", "empty"),
                     (policy(("ann@", "tag:srv:22"), tests=[{"src": "ann@", "accept": ["tag:srv:7000"]}]), "test(s) failed")):
        before = w.control.program.output().count("the old policy stays in force")
        w.put(bad)
        wait_until("the server to refuse it", lambda: w.control.program.output().count("the old policy stays in force") > before, 30)
        assert why in w.control.program.output()
        assert w.reaches()
    w.put("{")
    w.control.program.kill()
    w.control.program.start()
    wait_until("the server to refuse to start", lambda: not w.control.program.is_running(), 30)
    assert "is not valid" in w.control.program.output()
    assert w.reaches(), "the nodes go on with what they know"


def test_the_database_keeps_it(lab):
    w = World(lab, policy(("ann@", "tag:srv:7000")), mode="database")
    wait_until("everything to be open", w.reaches, 30)
    closed = lab.folder / "closed.hujson"
    closed.write_text(policy(("ann@", "tag:srv:22"), tests=[{"src": "ann@", "accept": ["tag:srv:22"], "deny": ["tag:srv:7000"]}]))
    assert w.control.cli("policy", "set", "-f", closed).stdout == "Policy updated.\n"
    wait_until("the port to be closed", lambda: not w.reaches(), 30)
    assert w.control.cli("policy", "get").stdout.strip() == closed.read_text()
    assert w.control.cli("policy", "test").stdout.startswith("All tests")
    wrong = lab.folder / "wrong.hujson"
    wrong.write_text("{\n  \"acls\": [\n    {\"action\": \"accept\", \"src\": [\"group:none\"], \"dst\": [\"tag:none:22\"]}\n  ]\n}\n")
    done = w.control.cli("policy", "set", "-f", wrong, check=False)
    assert done.returncode == 1 and all(text in done.stderr for text in ("wrong.hujson:3:", "group:none", "tag:none", "^"))

    w.control.program.kill()
    direct = "--bypass-server-and-access-database-directly"
    assert w.control.cli("policy", "get", direct).stdout.strip() == closed.read_text()
    assert w.control.cli("policy", "set", direct, "-f", wrong, check=False).returncode == 1
    opened = lab.folder / "open.hujson"
    opened.write_text(policy(("ann@", "tag:srv:7000")))
    w.control.cli("policy", "set", direct, "-f", opened)
    w.control.restart()
    wait_until("the port to be open again", w.reaches, 30)


def test_kill_in_the_middle_of_policy_set(lab):
    """Whatever moment the server dies at, it has one of the two policies, whole."""
    w = World(lab, "{}", mode="database")
    texts = []
    for i in range(2):
        path = lab.folder / f"p{i}.hujson"
        path.write_text(policy(("ann@", f"tag:srv:{7000 + i}"), hosts={f"h{k}": f"10.{i}.{k // 250}.{k % 250}" for k in range(2000)}))
        texts.append(path)
    w.control.cli("policy", "set", "-f", texts[0])
    for i in range(6):
        setting = w.control.host.popen(*w.control.command("policy", "set", "-f", texts[(i + 1) % 2]))
        time.sleep(0.01 * i)  # a moment of the set, another one each time
        w.control.program.kill()
        setting.kill()
        w.control.restart()
        kept = w.control.cli("policy", "get").stdout.strip()
        assert kept in [path.read_text() for path in texts]


def test_tags_and_routes(lab):
    w = World(lab, policy(("ann@", "tag:srv:7000"), ("ann@", "10.7.0.0/16:*"),
                          autoApprovers={"routes": {"10.7.0.0/16": ["tag:srv"]}}))
    w.server.weft("set", "--advertise-routes=10.7.1.0/24,10.8.0.0/24")

    def routes():
        return next(iter(w.laptop.peers()), {}).get("PrimaryRoutes") or []
    wait_until("the route that the policy approves", lambda: routes() == ["10.7.1.0/24"], 30)
    stranger = Node(lab.nat("cafe", 13).host("stranger", 2), w.control)
    done = stranger.weft("up", f"--login-server={w.control.url}", f"--auth-key={w.control.auth_key(w.user)}",
                         "--advertise-tags=tag:srv", check=False)
    assert done.returncode == 1 and "not permitted" in done.stderr
