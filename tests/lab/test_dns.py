"""MagicDNS: names of the tailnet, names of others, and the system's settings."""

import os
import random
import sys

from tailnet import BASE_DOMAIN, Node
from topology import BUILD, wait_until

# A name server that knows one address for all names; over TCP too, and cut short over UDP for "long.*".
UPSTREAM = r"""
import socket, struct, sys, threading
address = socket.inet_aton(sys.argv[1])
def answer(query, is_tcp):
    end = query.index(b"\0", 12) + 5
    if b"\4long" in query and not is_tcp:
        return query[:2] + b"\x83\x80\0\1\0\0\0\0\0\0" + query[12:end]
    return query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + address
def tcp():
    s = socket.create_server(("", 53))
    while True:
        c, _ = s.accept()
        n = struct.unpack("!H", c.recv(2, socket.MSG_WAITALL))[0]
        a = answer(c.recv(n, socket.MSG_WAITALL), True)
        c.sendall(struct.pack("!H", len(a)) + a)
        c.close()
threading.Thread(target=tcp, daemon=True).start()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("", 53))
print("ready", flush=True)
while True:
    query, who = u.recvfrom(4096)
    u.sendto(answer(query, False), who)
"""

# Asks 100.100.100.100 and prints: rcode, TC, addresses or a name.
ASK = r"""
import socket, struct, sys
name, qtype, tcp = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "tcp"
query = struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack("!HH", qtype, 1)
if tcp:
    s = socket.create_connection(("100.100.100.100", 53), 5)
    s.sendall(struct.pack("!H", len(query)) + query)
    m = s.recv(struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))[0], socket.MSG_WAITALL)
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    s.sendto(query, ("100.100.100.100", 53))
    m = s.recv(4096)
ident, flags, _, answers = struct.unpack("!HHHH", m[:8])
assert ident == 0x1234
out, at = [], len(query)
for _ in range(answers):
    at = at + 2 if m[at] >= 0xc0 else m.index(b"\0", at) + 1
    kind, _, _, size = struct.unpack("!HHIH", m[at:at + 10])
    data, at = m[at + 10:at + 10 + size], at + 10 + size
    if kind == 12:
        parts = []
        while data[0]:
            parts.append(data[1:1 + data[0]].decode()); data = data[1 + data[0]:]
        out.append(".".join(parts))
    else:
        out.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
print(flags & 15, int(bool(flags & 0x200)), *out)
"""
A, PTR, AAAA = 1, 12, 28
OK, SERVFAIL, NXDOMAIN = "0", "2", "3"


def ask(node, name, kind=A, over="udp"):
    """rcode, whether it was cut short, and what was found."""
    rcode, cut, *found = node.host.run(sys.executable, "-c", ASK, name, kind, over).stdout.split()
    return (rcode, found) if cut == "0" else (rcode, "cut short")


def name_server(lab, name, number, address):
    host = lab.public_host(name, number)
    program = host.start("dns", [sys.executable, "-c", UPSTREAM, address])
    wait_until("the name server", lambda: "ready" in program.output(), 30)
    return host


def two_nodes(lab, tailnet):
    nodes = [Node(lab.public_host(name, 20 + i), tailnet) for i, name in enumerate(("one", "two"))]
    for node in nodes:
        node.up(tailnet.key, f"--hostname={node.host.name}")
    one, two = nodes
    wait_until("the resolver", lambda: one.host.run("ss", "-Hln", "src = 100.100.100.100").stdout.count(":53") == 2, 30)
    wait_until("the nodes to see each other", lambda: all(node.peers() for node in (one, two)), 30)
    one.host.run("ping", "-c3", "-i0.5", "-W5", two.address())
    return one, two


def test_names_of_the_tailnet(lab, tailnet):
    one, two = two_nodes(lab, tailnet)
    name = f"two.{BASE_DOMAIN}"
    assert ask(one, name) == (OK, [two.address()])
    assert ask(one, name.upper(), over="tcp") == (OK, [two.address()])
    assert ask(one, name, AAAA) == (OK, []), "a peer's IPv6 address is kept back where there is IPv4"
    assert ask(one, f"one.{BASE_DOMAIN}", AAAA) == (OK, [one.address(6)])
    assert ask(one, f"nobody.{BASE_DOMAIN}") == (NXDOMAIN, [])
    reverse = ".".join(reversed(two.address().split("."))) + ".in-addr.arpa"
    assert ask(one, reverse, PTR) == (OK, [name])
    assert ask(one, "99.0.64.100.in-addr.arpa", PTR) == (NXDOMAIN, [])
    assert ask(one, "example.org") == (SERVFAIL, []), "there is nobody to ask"
    one.weft("down")
    assert not one.host.run("ss", "-Hln", "src = 100.100.100.100").stdout


def test_names_of_others(lab, tailnet):
    server = name_server(lab, "ns", 40, "192.0.2.1")
    one = lab.public_host("one", 20)
    one.resolv_conf.write_text(f"# mine\nnameserver {server.ip4}\nnameserver 203.0.113.99\nsearch home.arpa\n")
    node = Node(one, tailnet)
    node.up(tailnet.key)
    wait_until("our settings", lambda: "100.100.100.100" in one.resolv_conf.read_text(), 30)
    text = one.resolv_conf.read_text()
    assert f"search {BASE_DOMAIN} home.arpa\n" in text and server.ip4 not in text
    wait_until("an answer", lambda: ask(node, "example.org") == (OK, ["192.0.2.1"]), 30)
    assert ask(node, "example.org", over="tcp") == (OK, ["192.0.2.1"])
    assert ask(node, "long.example.org") == (OK, "cut short")
    assert ask(node, "long.example.org", over="tcp") == (OK, ["192.0.2.1"])

    # a DHCP client comes with another server
    other = name_server(lab, "ns2", 41, "192.0.2.2")
    one.resolv_conf.write_text(f"nameserver {other.ip4}\n")
    wait_until("our settings again", lambda: "100.100.100.100" in one.resolv_conf.read_text(), 30)
    wait_until("the new server", lambda: ask(node, "example.org") == (OK, ["192.0.2.2"]), 30)

    node.weft("set", "--accept-dns=false")
    wait_until("the file as it was", lambda: one.resolv_conf.read_text() == f"nameserver {other.ip4}\n", 30)
    node.weft("set", "--accept-dns")
    wait_until("our settings", lambda: "100.100.100.100" in one.resolv_conf.read_text(), 30)
    assert node.program.stop() == 0
    assert one.resolv_conf.read_text() == f"nameserver {other.ip4}\n"


def test_garbage_asked_and_answered(lab, tailnet):
    """Random requests over UDP and TCP, and a server that answers with noise: only they fail."""
    noise = lab.public_host("noise", 40)
    noise.start("dns", [sys.executable, "-c",
                        "import os, socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('', 53))\n"
                        "while True:\n m, who = s.recvfrom(4096)\n for n in (0, 5, 12, 40, 600):\n  s.sendto(m[:2] + os.urandom(n), who)"])
    server = name_server(lab, "ns", 41, "192.0.2.1")
    host = lab.public_host("one", 20)
    host.resolv_conf.write_text(f"nameserver {noise.ip4}\nnameserver {server.ip4}\n")
    node = Node(host, tailnet)
    node.up(tailnet.key)
    wait_until("an answer", lambda: ask(node, "example.org") == (OK, ["192.0.2.1"]), 30)
    dice = random.Random(1)
    script = ("import socket, sys\nu = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "for line in sys.argv[1:]:\n b = bytes.fromhex(line)\n u.sendto(b, ('100.100.100.100', 53))\n"
              " t = socket.create_connection(('100.100.100.100', 53))\n t.sendall(b)\n t.close()")
    host.run(sys.executable, "-c", script, *(dice.randbytes(dice.randrange(1, 300)).hex() for _ in range(300)))
    assert ask(node, "example.org") == (OK, ["192.0.2.1"])


def test_cleanup_gives_the_file_back(lab, tailnet):
    host = lab.public_host("one", 20)
    host.resolv_conf.write_text("# mine\n")
    node = Node(host, tailnet)
    node.up(tailnet.key)
    wait_until("our settings", lambda: "100.100.100.100" in host.resolv_conf.read_text(), 30)
    for pid in (*host.run("ps", "-o", "pid=", "--ppid", node.program.pid).stdout.split(), node.program.pid):
        host.run("kill", "-9", pid)
    node.program.process.wait()
    assert "100.100.100.100" in host.resolv_conf.read_text()
    host.run(BUILD / "weftd", "--cleanup")
    assert host.resolv_conf.read_text() == "# mine\n"


def test_systemd_resolved_is_told(lab, tailnet):
    """Where it answers the system's questions: its file stays, and it is asked to send us the tailnet's names."""
    tools, calls = lab.folder / "tools", lab.folder / "calls"
    tools.mkdir()
    (tools / "resolvectl").write_text(f"#!/bin/sh\necho \"$@\" >> {calls}\n")
    (tools / "resolvectl").chmod(0o755)
    calls.write_text("")
    host = lab.public_host("one", 20)
    host.resolv_conf.write_text("nameserver 127.0.0.53\n")
    node = Node(host, tailnet, env={"PATH": f"{tools}:{os.environ['PATH']}"})
    node.up(tailnet.key)
    wait_until("the calls", lambda: "default-route" in calls.read_text(), 30)
    servers, domains, default = calls.read_text().splitlines()
    assert servers == "dns weft0 100.100.100.100" and default == "default-route weft0 false"
    assert domains.startswith(f"domain weft0 {BASE_DOMAIN} ") and " ~127.100.in-addr.arpa" in domains and "~. " not in domains
    node.weft("down")
    wait_until("the last call", lambda: calls.read_text().splitlines()[-1] == "revert weft0", 30)
    assert host.resolv_conf.read_text() == "nameserver 127.0.0.53\n"
