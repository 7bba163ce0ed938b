"""The programs of a tailnet, started on the hosts of a lab (see topology.py)."""

import base64
import hashlib
import http.client
import json
import re
import socket

from topology import BUILD, Failure, wait_until

BASE_DOMAIN = "weft.test"


class Relay:
    """weft-relay with a certificate of its own, which its DERP map pins or clients trust by SSL_CERT_FILE."""

    def __init__(self, host, region=900, stun=True):
        self.host, self.region = host, region
        self.folder = host.lab.folder / f"relay-{host.name}"
        self.folder.mkdir()
        self.program = host.start("relay", [
            BUILD / "weft-relay", "-a", ":443", "-http-port", "-1", "-c", self.folder / "key.json",
            "-certmode", "manual", "-certdir", self.folder, "-hostname", host.ip4, f"-stun={'true' if stun else 'false'}"])
        self.certificate = self.folder / f"{host.ip4}.crt"
        wait_until(f"the relay on {host.name}\n{self.program.output()}", self.is_ready, 30)

    def is_ready(self):
        if not self.program.is_running():
            raise Failure(f"the relay ended:\n{self.program.output()}")
        return self.certificate.exists() and self.host.run("ss", "-Hltn", "sport = :443").stdout

    def pin(self):
        pem = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END", self.certificate.read_text(), re.S).group(1)
        return "sha256-raw:" + hashlib.sha256(base64.b64decode(pem)).hexdigest()

    def derp_map(self, pinned=True):
        return (f"regions:\n  {self.region}:\n    regionid: {self.region}\n    regioncode: lab{self.region}\n"
                f"    regionname: Lab {self.region}\n    nodes:\n      - name: {self.region}a\n        regionid: {self.region}\n"
                f"        hostname: {self.host.ip4}\n        ipv4: {self.host.ip4}\n"
                + (f"        ipv6: \"{self.host.ip6}\"\n" if self.host.ip6 else "        ipv6: none\n")
                + "        stunport: 3478\n        derpport: 443\n" + (f"        certname: {self.pin()}\n" if pinned else ""))


class Control:
    """weft-control on its host, its state in the lab's folder.

    It serves plain HTTP, or TLS on port 443 with a certificate of its own: official
    clients fall back to that port and never return to a plain one (spec/control.md 1.3).
    """

    def __init__(self, host, relays=(), extra="", tls=False, pinned=True):
        self.host = host
        self.folder = host.lab.folder / f"control-{host.name}"
        self.folder.mkdir()
        self.url = f"https://{host.ip4}" if tls else f"http://{host.ip4}:8080"
        self.listen = "0.0.0.0:443" if tls else "0.0.0.0:8080"
        self.environment = {}
        if tls:
            extra += self.make_certificate(relays)
        paths = []
        for relay in relays:
            path = self.folder / f"derp-{relay.region}.yaml"
            path.write_text(relay.derp_map(pinned))
            paths.append(str(path))
        self.config = self.folder / "config.yaml"
        self.config.write_text(
            f"server_url: {self.url}\nlisten_addr: {self.listen}\nmetrics_listen_addr: \"\"\n"
            f"noise:\n  private_key_path: noise.key\n"
            f"prefixes:\n  v4: 100.64.0.0/10\n  v6: fd7a:115c:a1e0::/48\n"
            f"derp:\n  server:\n    enabled: false\n  urls: []\n  paths: {json.dumps(paths)}\n"
            f"database:\n  type: sqlite\n  sqlite:\n    path: db.sqlite\n"
            f"dns:\n  magic_dns: true\n  base_domain: {BASE_DOMAIN}\n  override_local_dns: false\n"
            f"unix_socket: {self.folder}/control.sock\nunix_socket_permission: \"0770\"\n" + extra)
        self.program = host.start("control", [BUILD / "weft-control", "-c", self.config, "serve"])
        self.wait_ready()

    def make_certificate(self, relays):
        """A certificate that clients trust by SSL_CERT_FILE; returns its configuration."""
        certificate, key = self.folder / "tls.crt", self.folder / "tls.key"
        self.host.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                      "-subj", "/CN=control", "-addext", f"subjectAltName=IP:{self.host.ip4}", "-keyout", key, "-out", certificate)
        trusted = self.folder / "trusted.crt"
        trusted.write_text(certificate.read_text() + "".join(relay.certificate.read_text() for relay in relays))
        self.environment = {"SSL_CERT_FILE": str(trusted)}
        return f"tls_cert_path: {certificate}\ntls_key_path: {key}\n"

    def wait_ready(self):
        def healthy():
            if not self.program.is_running():
                raise Failure(f"the control server ended:\n{self.program.output()}")
            return self.cli("health", check=False).returncode == 0
        wait_until("the control server", healthy, 30)

    def restart(self):
        self.program.start()
        self.wait_ready()

    def command(self, *arguments):
        return [BUILD / "weft-control", "-c", self.config, *arguments]

    def cli(self, *arguments, check=True):
        return self.host.run(*self.command(*arguments), check=check)

    def json(self, *arguments):
        return json.loads(self.cli(*arguments, "-o", "json").stdout)

    def user(self, name):
        return self.json("users", "create", name)["id"]

    def auth_key(self, user, *flags):
        return self.json("preauthkeys", "create", "--user", user, *flags)["key"]

    def nodes(self):
        return self.json("nodes", "list")


class Node:
    """weftd on its host, and weft to talk to it."""

    def __init__(self, host, control, *flags, tun="weft0", env=None):
        self.host, self.control = host, control
        self.folder = host.lab.folder / f"node-{host.name}"
        self.folder.mkdir()
        self.socket = self.folder / "weftd.sock"
        self.program = host.start("weftd", [
            BUILD / "weftd", f"--statedir={self.folder}", f"--socket={self.socket}", f"--tun={tun}", *flags], control.environment | (env or {}))
        self.wait_ready()

    def wait_ready(self):
        def answers():
            if not self.program.is_running():
                raise Failure(f"weftd on {self.host.name} ended:\n{self.program.output()}")
            return self.weft("status", "--json", check=False).returncode == 0
        wait_until(f"weftd on {self.host.name}", answers, 30)

    def restart(self):
        self.program.start()
        self.wait_ready()

    def weft_command(self):
        return [BUILD / "weft", f"--socket={self.socket}"]

    def weft(self, *arguments, check=True, timeout=60):
        return self.host.run(*self.weft_command(), *arguments, check=check, timeout=timeout)

    def up(self, key, *flags, timeout=60):
        return self.weft("up", f"--login-server={self.control.url}", f"--auth-key={key}", *flags, timeout=timeout)

    def status(self):
        return json.loads(self.weft("status", "--json").stdout)

    def prefs(self):
        """The preferences, from the LocalAPI itself: no verb of `weft` shows them."""
        daemon = http.client.HTTPConnection("local-tailscaled.sock")
        daemon.sock = socket.socket(socket.AF_UNIX)
        daemon.sock.connect(str(self.socket))
        daemon.request("GET", "/localapi/v0/prefs")
        return json.loads(daemon.getresponse().read())

    def peers(self):
        """The peers of `weft status --json`, which says null while there is none."""
        return list((self.status()["Peer"] or {}).values())

    def address(self, version=4):
        return self.weft("ip", f"-{version}").stdout.strip()

    def ping(self, target, *flags, timeout=60):
        """`weft ping`: its text, whatever the exit status."""
        return self.weft("ping", *flags, target, check=False, timeout=timeout).stdout

    def wait_direct(self, target, seconds=30):
        """Pings until a pong comes over a direct path; returns that pong's line."""
        def direct():
            text = self.ping(target, "--c=1", "--timeout=2s", "--until-direct=false")
            return next((line for line in text.splitlines() if re.search(r" via [\[\d]", line)), None)
        return wait_until(f"a direct path from {self.host.name} to {target}", direct, seconds)

    def wait_relayed(self, target, seconds=30):
        def relayed():
            text = self.ping(target, "--c=1", "--timeout=2s", "--until-direct=false")
            return next((line for line in text.splitlines() if " via DERP(" in line), None)
        return wait_until(f"a relayed path from {self.host.name} to {target}", relayed, seconds)
