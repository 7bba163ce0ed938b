"""Small internets made of network namespaces: hosts, NATs, and the programs on them.

    with Lab("demo") as lab:
        server = lab.public_host("server", 2)
        home = lab.nat("home", 11)                # a port-preserving NAT with a LAN behind it
        laptop = home.host("laptop", 2)
        laptop.run("ping", "-c1", server.ip4)

Every namespace is named weft-LAB-NAME; test runs use tPID as LAB, or tPIDwN for a lab that several cases share. Leaving the `with` block, by whatever way,
ends the programs the lab started and removes its namespaces.

                 server 203.0.113.2    ...
                        |               |
    ----------------- inet (a bridge, 203.0.113.0/24, 2001:db8:1::/64) --------
            |                                       |
        nat "home" 203.0.113.11                 nat "office" 203.0.113.12
            |  192.168.11.1/24                      |  192.168.12.1/24
        laptop 192.168.11.2                     desk 192.168.12.2
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ETC_NETNS = Path("/etc/netns")
BUILD = Path(os.environ.get("WEFT_BUILD", ROOT / "build"))

IS_SANITIZED = BUILD.name == "build-asan"
SANITIZER_STATUS = 99  # the exit status of a program that a sanitizer found guilty


class Failure(Exception):
    """Something did not come as it should; the text is for a person."""


def sh(*command, check=True, timeout=60):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise Failure(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def wait_until(what, condition, seconds, every=0.1):
    """Polls until condition() is true and returns its value; says what was waited for otherwise."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s for {what}")
        time.sleep(every)


class Program:
    """A program running in a namespace, its output in a log file."""

    def __init__(self, host, name, command, env=None):
        self.name = f"{host.name}-{name}"
        self.log_path = host.lab.folder / f"{self.name}.log"
        self.log = open(self.log_path, "ab")
        self.shown_from = 0
        self.host = host
        self.command = [str(c) for c in command]
        self.env = host.environment(env)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.host.netns, *self.command],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, env=self.env, start_new_session=True)

    @property
    def pid(self):
        return self.process.pid  # `ip netns exec` replaces itself with the program

    def output(self):
        """What it has written; of a program that several cases share, what it wrote during this one."""
        with open(self.log_path, "rb") as log:
            log.seek(self.shown_from)
            return log.read().decode(errors="replace")

    def forget_output(self):
        self.shown_from = self.log_path.stat().st_size

    def finding(self):
        """What a sanitizer said of the program or of a child of it, if anything."""
        text = self.output()
        report = re.search(r"^[^\n]*(runtime error|ERROR: \w+Sanitizer).*", text, re.M | re.S)
        if report:
            return report.group()
        return "ended by a sanitizer" if self.process.returncode == SANITIZER_STATUS else None

    def is_running(self):
        return self.process.poll() is None

    def stop(self, seconds=10):
        """Asks it to end, and returns its exit status; kills what does not."""
        if self.is_running():
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not end within {seconds} s of SIGTERM") from None

    def kill(self):
        if self.is_running():
            self.process.kill()
        self.process.wait()


class Host:
    """A namespace with one interface towards its network."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.netns = f"{lab.prefix}-{name}"
        self.ip4 = self.ip6 = None
        self.resolv_conf = lab.folder / f"{name}-resolv.conf"
        # Official programs know no such variable as environment() sets: `ip netns exec` shows them this file as /etc/resolv.conf.
        etc = ETC_NETNS / self.netns
        etc.mkdir(parents=True, exist_ok=True)
        (etc / "resolv.conf").write_text("nameserver 203.0.113.1\n")
        sh("ip", "netns", "add", self.netns)
        lab.hosts.append(self)
        self.ip("link", "set", "lo", "up")
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)

    def environment(self, extra=None):
        """Of its programs: a namespace shares the machine's files, and must not touch its DNS settings."""
        return os.environ | {"WEFT_RESOLV_CONF": str(self.resolv_conf)} | (extra or {})

    def run(self, *command, check=True, timeout=60, env=None):
        full = ["ip", "netns", "exec", self.netns, *map(str, command)]
        done = subprocess.run(full, capture_output=True, text=True, timeout=timeout, env=self.environment(env))
        if done.returncode == SANITIZER_STATUS or (check and done.returncode):
            raise Failure(f"on {self.name}: {' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, *command):
        """A program to talk with by lines; the caller ends it."""
        return subprocess.Popen(["ip", "netns", "exec", self.netns, *map(str, command)], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ip(self, *arguments):
        return sh("ip", "-n", self.netns, *arguments)

    def sysctl(self, key, value):
        """Sets a kernel value here; one that a kernel without IPv6 lacks is left alone. A bare Debian has no sysctl program."""
        path = "/proc/sys/" + key.replace(".", "/")
        self.run("sh", "-c", f"[ ! -e {path} ] || echo {value} > {path}")

    def nft(self, rules):
        done = subprocess.run(["ip", "netns", "exec", self.netns, "nft", "-f", "-"], input=rules, text=True, capture_output=True)
        if done.returncode:
            raise Failure(f"nft on {self.name}: {done.stderr}")

    def start(self, name, command, env=None):
        program = Program(self, name, command, env)
        self.lab.programs.append(program)
        return program

    def connect(self, interface, other, other_interface):
        """A cable between two namespaces."""
        sh("ip", "link", "add", interface, "netns", self.netns, "type", "veth", "peer", "name", other_interface, "netns", other.netns)
        self.ip("link", "set", interface, "up")
        other.ip("link", "set", other_interface, "up")

    def drop_udp(self, on):
        """Blocks (or frees again) all UDP that passes through or leaves this host."""
        if on:
            self.nft("table inet block_udp {\n"
                     " chain forward { type filter hook forward priority 0; meta l4proto udp drop; }\n"
                     " chain output { type filter hook output priority 0; meta l4proto udp drop; }\n}\n")
        else:
            self.run("nft", "delete", "table", "inet", "block_udp")


class Nat(Host):
    """A router whose LAN is hidden behind its one public address.

    kind "easy": endpoint-independent mapping as conntrack gives it, the port kept
    where it is free; "hard": a random port for every destination. Filtering is by
    address and port in both. What comes unasked is dropped before the router itself
    keeps a state for it, which would take the port away from the host behind, as any
    home router does. IPv6, if wanted, is routed with a stateful firewall.
    """

    def __init__(self, lab, name, number, kind="easy", ipv6=False):
        super().__init__(lab, name)
        self.number, self.has_ipv6 = number, ipv6
        lab.plug(self, "wan", number, ipv6)
        self.lan4 = f"192.168.{number}"
        self.lan6 = f"2001:db8:{number:x}"
        self.bridge()
        self.sysctl("net.ipv4.ip_forward", 1)
        ports = {"easy": "", "hard": "fully-random"}[kind]
        self.nft("table ip nat {\n chain post { type nat hook postrouting priority srcnat;"
                 f" oifname \"wan\" masquerade {ports}; }}\n}}\n"
                 "table inet filter {\n chain forward { type filter hook forward priority 0;"
                 " iifname \"wan\" ct state new drop; }\n"
                 " chain input { type filter hook input priority 0; iifname \"wan\" ct state new meta l4proto udp drop; }\n}\n")
        if ipv6:
            self.sysctl("net.ipv6.conf.all.forwarding", 1)

    def bridge(self):
        self.ip("link", "add", "lan", "type", "bridge")
        self.ip("link", "set", "lan", "up")
        self.ip("addr", "add", f"{self.lan4}.1/24", "dev", "lan")
        if self.has_ipv6:
            self.ip("addr", "add", f"{self.lan6}::1/64", "dev", "lan", "nodad")
            self.lab.inet.ip("-6", "route", "add", f"{self.lan6}::/64", "via", f"2001:db8:1::{self.number:x}")

    def host(self, name, number):
        return self.adopt(Host(self.lab, name), number)

    def adopt(self, host, number):
        """Plugs a host into this LAN, out of the network it was in before."""
        if host.ip4:
            host.ip("link", "delete", "eth0")
        name = host.name
        host.connect("eth0", self, f"to-{name}"[:15])
        self.ip("link", "set", f"to-{name}"[:15], "master", "lan")
        host.ip4 = f"{self.lan4}.{number}"
        host.ip("addr", "add", f"{host.ip4}/24", "dev", "eth0")
        host.ip("route", "add", "default", "via", f"{self.lan4}.1")
        if self.has_ipv6:
            host.ip6 = f"{self.lan6}::{number}"
            host.ip("addr", "add", f"{host.ip6}/64", "dev", "eth0", "nodad")
            host.ip("-6", "route", "add", "default", "via", f"{self.lan6}::1")
        return host


class Lab:
    def __init__(self, name, folder=None):
        self.prefix = f"weft-{name}"
        self.folder = Path(folder or f"/tmp/weft-lab-{name}")
        self.hosts, self.programs = [], []

    def __enter__(self):
        self.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.inet = Host(self, "inet")
        self.inet.ip("link", "add", "br0", "type", "bridge")
        self.inet.ip("link", "set", "br0", "up")
        self.inet.ip("addr", "add", "203.0.113.1/24", "dev", "br0")
        self.inet.ip("addr", "add", "2001:db8:1::1/64", "dev", "br0", "nodad")
        self.inet.sysctl("net.ipv6.conf.all.forwarding", 1)
        return self

    def __exit__(self, *_):
        self.stop_programs()
        self.clear()

    def stop_programs(self):
        """Ends every program; returns a sentence for each that had to be killed or that a sanitizer ended."""
        wrong = []
        running = [program for program in reversed(self.programs) if program.is_running()]
        for program in running:
            program.process.send_signal(signal.SIGTERM)
        for program in running:
            try:
                program.process.wait(10)
            except subprocess.TimeoutExpired:
                wrong.append(f"{program.name} did not end within 10 s of SIGTERM")
                program.kill()
        for program in self.programs:
            program.log.close()
            finding = program.finding()
            if finding:
                wrong.append(f"{program.name}: {finding}")
        self.programs = []
        return wrong

    def is_ours(self, netns):
        """Of this lab, or of a test run whose process is no more."""
        if netns.startswith(self.prefix + "-"):
            return True
        run = re.match(r"weft-t(\d+)(?:w\d+)?-", netns)
        return run and not os.path.exists(f"/proc/{run[1]}")

    def clear(self):
        """Removes every namespace of this lab, those of a run that was cut short too."""
        for line in sh("ip", "netns", "list").stdout.splitlines():
            name = line.split()[0]
            if not self.is_ours(name):
                continue
            for pid in sh("ip", "netns", "pids", name, check=False).stdout.split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            sh("ip", "netns", "delete", name, check=False)
        for etc in ETC_NETNS.glob("weft-*"):
            if self.is_ours(etc.name):
                shutil.rmtree(etc, ignore_errors=True)
        if ETC_NETNS.is_dir() and not any(ETC_NETNS.iterdir()):
            ETC_NETNS.rmdir()

    def plug(self, host, interface, number, ipv6=True):
        """Connects a host to the internet as 203.0.113.NUMBER."""
        port = f"to-{host.name}"[:15]
        host.connect(interface, self.inet, port)
        self.inet.ip("link", "set", port, "master", "br0")
        host.ip4 = f"203.0.113.{number}"
        host.ip("addr", "add", f"{host.ip4}/24", "dev", interface)
        host.ip("route", "add", "default", "via", "203.0.113.1")
        if ipv6:
            host.ip6 = f"2001:db8:1::{number:x}"
            host.ip("addr", "add", f"{host.ip6}/64", "dev", interface, "nodad")
            host.ip("-6", "route", "add", "default", "via", "2001:db8:1::1")

    def public_host(self, name, number, ipv6=True):
        host = Host(self, name)
        self.plug(host, "eth0", number, ipv6)
        return host

    def nat(self, name, number, kind="easy", ipv6=False):
        return Nat(self, name, number, kind, ipv6)


