"""The official control server for tests and the official relay, in the places of ours, and the tailnet that its cases share."""

import hashlib
import json
import re
import ssl
import subprocess
from urllib.parse import quote

from official import OfficialNode, build, helper
from tailnet import Node
from topology import wait_until
from world import OWN_RESOLV_CONF, Paths, peer

RELAY_NAME = "derper.test"


def make_certificate(host, path, name):
    """A certificate at path.crt with its key at path.key, for a name as in "DNS:..." or "IP:..."; clients trust it by SSL_CERT_FILE."""
    host.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", f"/CN={name.split(':')[1]}", "-addext", f"subjectAltName={name}", "-keyout", f"{path}.key", "-out", f"{path}.crt")


class OfficialRelay:
    """derper with a certificate for its name, which clients trust by SSL_CERT_FILE."""

    def __init__(self, host, generation):
        self.host = host
        folder = host.lab.folder / "derper"
        folder.mkdir()
        self.certificate = folder / f"{RELAY_NAME}.crt"
        make_certificate(host, folder / RELAY_NAME, f"DNS:{RELAY_NAME}")
        self.program = host.start("derper", [
            build(generation) / "derper", "-a=:443", "-http-port=-1", "-certmode=manual", f"-certdir={folder}",
            f"-hostname={RELAY_NAME}", "-stun", f"-c={folder}/derper.json"], {"HOME": str(folder)})
        self.wait_ready()

    def wait_ready(self):
        wait_until("the official relay", lambda: self.host.run("ss", "-Hltn", "sport = :443").stdout, 10)

    def restart(self):
        self.program.start()
        self.wait_ready()

    def clients(self):
        """How many it has, by its own count."""
        text = self.host.run("curl", "-sS", "--cacert", self.certificate, "--noproxy", "*", "--resolve", f"{RELAY_NAME}:443:127.0.0.1",
                             f"https://{RELAY_NAME}/debug/vars").stdout
        return json.loads(text)["derp"]["gauge_current_connections"]

    def derp_map(self, pinned=False):
        node = {"Name": "901a", "RegionID": 901, "HostName": RELAY_NAME, "IPv4": self.host.ip4, "IPv6": self.host.ip6}
        if pinned:
            node["CertName"] = "sha256-raw:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.certificate.read_text())).hexdigest()
        return {"Regions": {"901": {"RegionID": 901, "RegionCode": "official", "RegionName": "Official", "Nodes": [node]}}}


class OfficialControl:
    """testcontrol behind a program of ours (programs/testserver), in weft-control's place for nodes."""

    key = "any"

    def __init__(self, host, relay, generation):
        self.host = host
        folder = host.lab.folder / "testserver"
        folder.mkdir()
        relays = folder / "derpmap.json"
        relays.write_text(json.dumps(relay.derp_map()))
        self.certificate = folder / "tls.crt"
        make_certificate(host, folder / "tls", f"IP:{host.ip4}")
        trusted = folder / "trusted.crt"
        trusted.write_text(self.certificate.read_text() + relay.certificate.read_text())
        self.url, self.door = f"https://{host.ip4}", f"http://{host.ip4}:9090"
        self.environment = {"SSL_CERT_FILE": str(trusted)}
        self.program = host.start("testserver", [
            helper(generation, "testserver"), host.ip4, f"{host.ip4}:9090", relays, self.certificate, folder / "tls.key"])
        wait_until("the official control server", lambda: self.call("GET", "/nodes", check=False), 10)

    def call(self, method, path, body="", check=True, **query):
        """What is behind the door at a path, or "" when it refuses and check is false."""
        target = f"{self.door}{path}?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        done = self.host.run("curl", "-sS", "--fail-with-body", "--noproxy", "*", "-X", method, "--data-binary", body,
                             "-H", "Content-Type: application/json", target, check=check)
        return done.stdout if done.returncode == 0 else ""

    def nodes(self):
        return json.loads(self.call("GET", "/nodes")) or []

    def node(self, name):
        return next(node for node in self.nodes() if node["Hostinfo"].get("Hostname") == name)

    def change(self, name, **fields):
        """What an administrator would change of a node; everybody is told."""
        self.call("POST", "/node", body=json.dumps(self.node(name) | fields))

    def send_map(self, key, **response):
        """A map response just like this, to the node of that key; from now on it gets no other."""
        self.call("POST", "/map", body=json.dumps(response), node=key)


class Elsewhere(Paths):
    """weft1 and off1 behind two NATs, in a tailnet of the official test server; a third NAT to move to.

    control 203.0.113.2    relay 203.0.113.3    guests 203.0.113.20 and up
                    |
        nat11   nat12   nat13
        weft1    off1
    """

    def __init__(self, lab, generation):
        self.lab, self.generation = lab, generation
        self.guests = 0
        self.relay = OfficialRelay(lab.public_host("relay", 3), generation)
        self.control = OfficialControl(lab.public_host("control", 2), self.relay, generation)
        self.close_nats([lab.nat(f"nat{number}", number) for number in (11, 12, 13)])
        self.weft1 = Node(self.nats[0].host("weft1", 2), self.control, env=OWN_RESOLV_CONF)
        self.off1 = OfficialNode(self.nats[1].host("off1", 2), self.control, generation)
        self.nodes = [self.weft1, self.off1]
        for node in self.nodes:
            node.host.sysctl("net.ipv4.ip_forward", 1)
            self.join(node)

    def settle(self, seconds=20):
        for node, other in ((self.weft1, "off1"), (self.off1, "weft1")):
            wait_until(f"{node.host.name} to see {other}", lambda: node.status()["BackendState"] == "Running" and peer(node, other), seconds)

    def guest(self, *flags, make=Node, trust=None):
        """One more node, on a public address, not logged in yet; trust: of the certificates in this file alone."""
        self.guests += 1
        host = self.lab.public_host(f"guest{self.guests}", 20 + self.guests)
        if make is OfficialNode:
            return make(host, self.control, self.generation)
        return make(host, self.control, *flags, env={"SSL_CERT_FILE": str(trust)} if trust else {})

    def join(self, node, *flags, check=True):
        node.weft("up", f"--login-server={self.control.url}", "--auth-key=any", f"--hostname={node.host.name}", *flags, check=check)

    def key(self, name):
        return self.control.node(name)["Key"]

    def login_by_url(self, node, *flags):
        """`weft up` without a key: it prints an address, the login there is done, and it ends."""
        self.control.call("POST", "/login", required="true")
        command = ["ip", "netns", "exec", node.host.netns, *map(str, node.weft_command()), "up",
                   f"--login-server={self.control.url}", f"--hostname={node.host.name}", *flags]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                text = ""
                while not (found := re.search(r"https://\S+/auth/\S+", text)):
                    line = process.stdout.readline()
                    assert line, f"weft ended without an address: {text}"
                    text += line
                self.control.call("POST", "/complete", url=found.group())
                assert process.wait(20) == 0
            finally:
                process.kill()
                self.control.call("POST", "/login", required="false")

    def keys(self):
        return {node.host.name: node.status()["Self"]["PublicKey"] for node in self.nodes}

    def serves(self, name, *routes, primary=()):
        """What a node may route for others from now on."""
        self.control.change(name, AllowedIPs=[*self.control.node(name)["Addresses"], *routes], PrimaryRoutes=list(primary))

    def reaches(self, node, target):
        return node.host.run("ping", "-c1", "-W1", target, check=False).returncode == 0
