"""The official command line and client package drive weftd; weft drives tailscaled."""

import json

import pytest

from official import OfficialNode, build, helper
from tailnet import Node
from topology import BUILD, wait_until
from world import peer

pytestmark = pytest.mark.direction("official tailscale drives weftd")


class OurNodeTheirCommands(OfficialNode):
    """weftd, driven by `tailscale`."""

    def __init__(self, node, generation):
        self.__dict__.update(node.__dict__)
        self.bin = build(generation)


class TheirNodeOurCommands(Node):
    """tailscaled, driven by `weft`."""

    def __init__(self, node):
        self.__dict__.update(node.__dict__)

    def weft(self, *arguments, check=True, timeout=60):
        return self.host.run(BUILD / "weft", f"--socket={self.socket}", *arguments, check=check, timeout=timeout)


def take_through(world, guest):
    """Every verb once, on a guest that is not logged in yet."""
    def state():
        return guest.status()["BackendState"]
    assert state() == "NeedsLogin"
    world.up(guest)
    assert state() == "Running"
    name, target = guest.host.name, world.off1.address()
    assert guest.weft("ip", "-4").stdout.strip() == guest.status()["Self"]["TailscaleIPs"][0]
    assert guest.weft("ip", "-4", "off1").stdout.strip() == target
    wait_until("a pong", lambda: "pong from off1" in guest.ping(target, "--c=1", "--timeout=2s", "--until-direct=false"), 15)
    assert "off1" in guest.weft("status").stdout
    assert json.loads(guest.weft("whois", "--json", target).stdout)["UserProfile"]["LoginName"] == "alice"
    assert json.loads(guest.weft("netcheck", "--format=json").stdout)["PreferredDERP"] == 900
    guest.weft("set", f"--hostname={name}-set", "--shields-up")
    wait_until("the others to see the new name", lambda: peer(world.off2, f"{name}-set"), 5)
    guest.weft("set", f"--hostname={name}", "--shields-up=false")
    guest.weft("down")
    assert state() == "Stopped"
    guest.weft("up", f"--login-server={world.tailnet.url}", f"--hostname={name}")
    assert state() == "Running"
    guest.weft("logout")
    assert state() == "NeedsLogin"
    world.dismiss(guest)


def test_every_verb(world):
    take_through(world, OurNodeTheirCommands(world.guest("ours", Node), world.generation))


@pytest.mark.direction("weft drives official tailscaled")
def test_every_verb_of_weft(world):
    take_through(world, TheirNodeOurCommands(world.guest()))


def decoded(world, node, target):
    text = node.host.run(helper(world.generation, "localapi"), node.socket, target).stdout
    return json.loads(text)


# Left out: AutoUpdate and Hostname of prefs, and Health, which are each daemon's own; what the pending cases below name.
OF_A_PEER = ("ID PublicKey HostName DNSName OS UserID TailscaleIPs AllowedIPs Relay Online ExitNode ExitNodeOption InNetworkMap InMagicSock "
             "InEngine Tags PrimaryRoutes Capabilities CapMap").split()
OF_A_NODE = ("ID StableID Name User Key Machine DiscoKey Addresses AllowedIPs Endpoints HomeDERP Cap MachineAuthorized Online Tags "
             "Created KeyExpiry Hostinfo").split()
OF_ALL = "BackendState HaveNodeKey AuthURL CurrentTailnet MagicDNSSuffix CertDomains".split()


def differences(ours, theirs, names):
    """Nothing, null and an empty list are one thing to the official decoder."""
    return {name: (ours.get(name), theirs.get(name)) for name in names if (ours.get(name) or None) != (theirs.get(name) or None)}


def test_the_client_package_decodes_the_same(world):
    """Two daemons of one tailnet, asked about the same peer: (ours, theirs) where they differ."""
    for node in (world.off2, world.weft1):
        node.wait_direct(world.off1.address(), 40)
    theirs, ours = (decoded(world, node, world.off1.address()) for node in (world.off2, world.weft1))
    mine, other = (next(p for p in answer["status"]["Peer"].values() if p["HostName"] == "off1") for answer in (ours, theirs))
    found = differences(mine, other, OF_A_PEER) | differences(ours["whois"]["Node"], theirs["whois"]["Node"], OF_A_NODE)
    found |= differences(ours["status"], theirs["status"], OF_ALL)
    found |= differences(ours, theirs, ("running", "login", "relays", "profiles"))
    found |= differences(ours["whois"], theirs["whois"], ("UserProfile", "CapMap"))
    found |= differences(ours["prefs"], theirs["prefs"], set(theirs["prefs"]) - {"Hostname", "Config", "AutoUpdate"})
    assert not found, json.dumps(found, indent=1)


@pytest.mark.pending("weftd computes no display names for whois")
def test_ComputedName_of_a_node(generation):
    pass


@pytest.mark.pending("weftd does not tell its peers' API addresses, nor sends files")
def test_PeerAPIURL_and_TaildropTarget_of_a_peer(generation):
    pass
