"""kill -9, restarts, a lost control server, and clocks that jump."""

import re
import subprocess
import threading
import time

import pytest

from tailnet import Node
from topology import Failure, wait_until


def joined(lab, tailnet, names=("one", "two"), **kwargs):
    nodes = []
    for number, name in enumerate(names, 20):
        node = Node(lab.public_host(name, number), tailnet, **kwargs)
        node.up(tailnet.key, f"--hostname={name}")
        nodes.append(node)
    return nodes


class Traffic:
    """A ping ten times a second, counted; lost() is the longest gap in packets."""

    def __init__(self, node, target):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", node.host.netns, "ping", "-i0.1", "-W1", "-O", target],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        self.thread = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self.thread.start()

    def stop(self):
        self.process.send_signal(2)
        self.process.wait(10)
        self.thread.join()
        return "".join(self.lines)

    def lost(self):
        text = self.stop()
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
        return sent - received, sent


def test_control_killed_while_traffic_flows(lab, tailnet):
    one, two = joined(lab, tailnet)
    one.wait_direct(two.address())
    before = sorted(node["id"] for node in tailnet.nodes())
    traffic = Traffic(one, two.address())
    for _ in range(3):
        tailnet.program.kill()
        time.sleep(1)  # how long it stays away; nothing is waited for
        tailnet.restart()
        time.sleep(1)
    lost, sent = traffic.lost()
    assert sent > 30 and lost <= 2, f"{lost} of {sent} packets lost"
    assert sorted(node["id"] for node in tailnet.nodes()) == before
    wait_until("both nodes back online", lambda: all(node["online"] for node in tailnet.nodes()), 40)


def test_control_killed_during_registrations(lab, tailnet):
    """Whatever the moment: a node that was told it is in stays in, and a single-use key admits one."""
    hosts = [lab.public_host(f"n{i}", 20 + i) for i in range(6)]
    nodes = [Node(host, tailnet) for host in hosts]
    key = tailnet.auth_key(tailnet.user_id)  # single use
    results = {}

    def join(node, name, auth_key):
        try:
            node.up(auth_key, f"--hostname={name}", "--timeout=45s", timeout=60)
            results[name] = True
        except Failure:
            results[name] = False

    threads = [threading.Thread(target=join, args=(node, f"n{i}", key if i < 3 else tailnet.key))
               for i, node in enumerate(nodes)]
    for thread in threads:
        thread.start()
    for pause in (0.05, 0.1, 0.2, 0.4):
        time.sleep(pause)
        tailnet.program.kill()
        tailnet.restart()
    for thread in threads:
        thread.join()
    known = {node["givenName"] for node in tailnet.nodes()}
    assert {name for name, ok in results.items() if ok} <= known
    assert sum(f"n{i}" in known for i in range(3)) <= 1, "a single-use key admitted more than one node"
    assert all(results[f"n{i}"] for i in range(3, 6)), results


@pytest.mark.plain
def test_node_restarts_without_control(lab, tailnet):
    one, two = joined(lab, tailnet)
    one.wait_direct(two.address())
    tailnet.program.kill()
    target = two.address()
    one.program.kill()
    one.restart()
    wait_until("traffic from the cached netmap",
               lambda: one.host.run("ping", "-c1", "-W1", target, check=False).returncode == 0, 30)
    one.wait_direct(target, 30)
    two.program.kill()
    two.restart()
    wait_until("traffic after both restarted without control",
               lambda: one.host.run("ping", "-c1", "-W1", target, check=False).returncode == 0, 45)


@pytest.mark.plain
def test_node_killed_leaves_a_network_that_starts_again(lab, tailnet):
    one, two = joined(lab, tailnet)
    for _ in range(3):
        one.program.kill()
        one.restart()
        wait_until("traffic", lambda: one.host.run("ping", "-c1", "-W1", two.address(), check=False).returncode == 0, 30)
    assert len(tailnet.nodes()) == 2
    assert one.program.stop() == 0
    assert "52" not in one.host.run("ip", "rule").stdout.replace("5250", ""), "policy rules were left behind"


@pytest.mark.parametrize("offset", ["+3d", "-20h"])
def test_a_node_whose_clock_is_wrong(lab, tailnet, offset):
    one = Node(lab.public_host("one", 20), tailnet, env={
        "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    two = Node(lab.public_host("two", 21), tailnet)
    for node in (one, two):
        node.up(tailnet.key)
    wait_until("traffic", lambda: one.host.run("ping", "-c1", "-W1", two.address(), check=False).returncode == 0, 30)


def test_a_clock_that_jumps(lab, tailnet):
    """libfaketime re-reads its file: the clock jumps while the daemon runs."""
    clock = lab.folder / "clock"
    clock.write_text("+0")
    one = Node(lab.public_host("one", 20), tailnet, env={
        "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    two = Node(lab.public_host("two", 21), tailnet)
    for node in (one, two):
        node.up(tailnet.key)
    for jump in ("+10d", "-10d", "+0"):
        clock.write_text(jump)
        wait_until(f"traffic after the clock jumped to {jump}",
                   lambda: one.host.run("ping", "-c1", "-W1", two.address(), check=False).returncode == 0, 45)
        assert one.status()["BackendState"] == "Running"


@pytest.mark.plain
def test_fifty_nodes(lab, tailnet):
    nodes = [Node(lab.public_host(f"n{i}", 20 + i), tailnet) for i in range(50)]
    threads = [threading.Thread(target=node.up, args=(tailnet.key, f"--hostname=n{i}")) for i, node in enumerate(nodes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tailnet.nodes()) == 50
    wait_until("every node to see every other", lambda: all(len(node.peers()) == 49 for node in nodes), 60, 1)
    for i in range(0, 50, 7):
        target = nodes[(i + 1) % 50].address()
        wait_until(f"traffic from n{i}",
                   lambda: nodes[i].host.run("ping", "-c1", "-W2", target, check=False).returncode == 0, 30)
