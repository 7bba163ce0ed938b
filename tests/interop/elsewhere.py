"""The official control server for tests and the official relay, in the places of ours."""

import json
from urllib.parse import quote

from official import build, helper
from topology import wait_until

RELAY_NAME = "derper.test"


class OfficialRelay:
    """derper with a certificate for its name, which clients trust by SSL_CERT_FILE."""

    def __init__(self, host, generation):
        self.host = host
        folder = host.lab.folder / "derper"
        folder.mkdir()
        self.certificate = folder / f"{RELAY_NAME}.crt"
        host.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                 "-subj", f"/CN={RELAY_NAME}", "-addext", f"subjectAltName=DNS:{RELAY_NAME}",
                 "-keyout", folder / f"{RELAY_NAME}.key", "-out", self.certificate)
        self.program = host.start("derper", [
            build(generation) / "derper", "-a=:443", "-http-port=-1", "-certmode=manual", f"-certdir={folder}",
            f"-hostname={RELAY_NAME}", "-stun", f"-c={folder}/derper.json"], {"HOME": str(folder)})
        wait_until("the official relay", lambda: host.run("ss", "-Hltn", "sport = :443").stdout, 10)

    def derp_map(self):
        return {"Regions": {"901": {"RegionID": 901, "RegionCode": "official", "RegionName": "Official", "Nodes": [
            {"Name": "901a", "RegionID": 901, "HostName": RELAY_NAME, "IPv4": self.host.ip4, "IPv6": self.host.ip6}]}}}


class OfficialControl:
    """testcontrol behind a program of ours (programs/testserver), in weft-control's place for nodes."""

    key = "any"

    def __init__(self, host, relay, generation):
        self.host = host
        folder = host.lab.folder / "testserver"
        folder.mkdir()
        relays = folder / "derpmap.json"
        relays.write_text(json.dumps(relay.derp_map()))
        self.url, self.door = f"http://{host.ip4}:8080", f"http://{host.ip4}:9090"
        self.environment = {"SSL_CERT_FILE": str(relay.certificate)}
        self.program = host.start("testserver", [helper(generation, "testserver"), f"{host.ip4}:8080", f"{host.ip4}:9090", relays])
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
