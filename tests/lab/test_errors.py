"""What goes wrong at start is said in one clear sentence, with an exit status that is not zero."""

import base64
import json
import os
import subprocess
import sys

from tailnet import Node
from topology import BUILD, wait_until


def refusal(host, *command, env=None, timeout=20):
    """Runs a program that should refuse; returns the line that says why."""
    done = host.run(*command, check=False, timeout=timeout, env=env)
    assert done.returncode not in (0, None), f"exit status 0\n{done.stdout}{done.stderr}"
    assert done.returncode < 128, f"ended by a signal\n{done.stderr}"
    told = [line for line in (done.stdout + done.stderr).splitlines() if line.strip() and " info " not in line]
    assert told, "nothing was said"
    return told[-1]


def weftd(lab, host, *flags):
    folder = lab.folder / "weftd-refused"
    folder.mkdir(exist_ok=True)
    given = {flag.split("=")[0] for flag in flags}
    defaults = [f"--statedir={folder}", f"--socket={folder}/weftd.sock", "--tun=weft0"]
    return refusal(host, BUILD / "weftd", *[flag for flag in defaults if flag.split("=")[0] not in given], *flags)


def test_no_tun_device(lab):
    host = lab.public_host("one", 20)
    done = host.run("unshare", "-m", "sh", "-c",
                    f"mount -t tmpfs none /dev/net && exec {BUILD}/weftd --statedir={lab.folder}/s --socket={lab.folder}/s.sock",
                    check=False, timeout=20)
    assert done.returncode and "/dev/net/tun" in done.stdout + done.stderr


def test_state_folder_is_no_folder(lab):
    (lab.folder / "file").write_text("")
    host = lab.public_host("one", 20)
    line = refusal(host, BUILD / "weftd", f"--statedir={lab.folder}/file/below", f"--socket={lab.folder}/x.sock")
    assert "below" in line, line


def test_corrupt_state_file(lab):
    state = lab.folder / "weftd.state"
    state.write_text("{ this is not JSON")
    line = weftd(lab, lab.public_host("one", 20), f"--state={state}")
    assert str(state) in line, line
    assert state.read_text() == "{ this is not JSON", "the file a person may still need was overwritten"


def test_damaged_inside_a_whole_state_file(lab):
    """The file is JSON; what one of its members holds is not."""
    def member(text):
        return base64.b64encode(text.encode()).decode()
    state = lab.folder / "weftd.state"
    host = lab.public_host("one", 20)
    for members in ({"_machinekey": "no key"}, {"_profiles": "[["},
                    {"_profiles": '{"1a2b":{"ID":"1a2b","Key":"profile-1a2b"}}', "_current-profile": "profile-1a2b", "profile-1a2b": "{"}):
        text = json.dumps({name: member(value) for name, value in members.items()})
        state.write_text(text)
        line = weftd(lab, host, f"--state={state}")
        assert str(state) in line and "damaged" in line and "move it away" in line, line
        assert state.read_text() == text, "the file a person may still need was overwritten"


def test_paths_that_cannot_be(lab):
    host = lab.public_host("one", 20)
    plain = lab.folder / "plain"
    plain.write_text("mine")
    assert "no socket" in weftd(lab, host, f"--socket={plain}")
    assert plain.read_text() == "mine"
    assert "not a state file" in weftd(lab, host, f"--state={lab.folder}")
    assert "too long" in weftd(lab, host, f"--state={lab.folder}/{'x/' * 3000}state")


def test_few_descriptors(lab):
    host = lab.public_host("one", 20)
    line = refusal(host, "sh", "-c", f"ulimit -n 32; exec {BUILD}/weftd --statedir={lab.folder}/s --socket={lab.folder}/s.sock")
    assert "32 files" in line and "ulimit -n" in line, line


def test_cleanup_needs_root(lab):
    line = refusal(lab.public_host("one", 20), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BUILD / "weftd", "--cleanup")
    assert "root" in line, line


def test_no_network(lab, tailnet):
    node = Node(lab.public_host("one", 20), tailnet)
    node.host.run("ip", "link", "set", "eth0", "down")
    wait_until("a word about it", lambda: any("network is down" in line for line in node.status()["Health"]), 30)


def test_asked_at_once(lab, tailnet):
    """Who starts the daemon and asks it as soon as its socket answers gets what was asked for."""
    host = lab.public_host("one", 20)
    socket = lab.folder / "early.sock"
    host.start("weftd", [BUILD / "weftd", f"--statedir={lab.folder}/early", f"--socket={socket}", "--tun=weft0"])

    def answer():
        done = host.run(BUILD / "weft", f"--socket={socket}", "status", "--json", check=False)
        return None if "cannot reach" in done.stderr else done
    done = wait_until("an answer", answer, 30, every=0)
    assert done.returncode == 0, done.stderr


def test_socket_in_use(lab, tailnet):
    host = lab.public_host("one", 20)
    node = Node(host, tailnet)
    line = weftd(lab, host, f"--socket={node.socket}")
    assert "in use" in line or "already" in line, line


def test_a_second_daemon_leaves_the_first_alone(lab, tailnet):
    one, two = (Node(lab.public_host(name, 20 + i), tailnet) for i, name in enumerate(("one", "two")))
    one.up(tailnet.key)
    two.up(tailnet.key)
    rules = one.host.run("ip", "rule").stdout
    weftd(lab, one.host, f"--socket={one.socket}")
    assert one.host.run("ip", "rule").stdout == rules
    one.host.run("ping", "-c3", "-i0.5", "-W5", two.address())


def test_weft_without_daemon(lab):
    line = refusal(lab.public_host("one", 20), BUILD / "weft", f"--socket={lab.folder}/none.sock", "status")
    assert "weftd" in line, line


def test_control_port_taken(lab, tailnet):
    line = refusal(tailnet.host, BUILD / "weft-control", "-c", tailnet.config, "serve")
    assert "another weft-control" in line, line
    second = lab.folder / "second.yaml"
    second.write_text(tailnet.config.read_text().replace("db.sqlite", "second.sqlite").replace("control.sock", "second.sock"))
    line = refusal(tailnet.host, BUILD / "weft-control", "-c", second, "serve")
    assert "8080" in line and "in use" in line, line


def test_control_config_mistakes(lab):
    host = lab.public_host("control", 2)
    for text, expected in (("server_url: [", "bad.yaml"), ("server_url: ftp://x\n", "server_url"), ("", "noise")):
        config = lab.folder / "bad.yaml"
        config.write_text(text)
        assert expected in refusal(host, BUILD / "weft-control", "-c", config, "serve").lower()
    assert "none.yaml" in refusal(host, BUILD / "weft-control", "-c", lab.folder / "none.yaml", "serve")


def test_relay_port_taken(lab, tailnet):
    line = refusal(tailnet.relay.host, *tailnet.relay.program.command)
    assert "443" in line, line


def test_wrong_server_and_bad_keys(lab, tailnet):
    node = Node(lab.public_host("one", 20), tailnet)
    done = node.weft("up", f"--login-server={tailnet.url}", "--auth-key=hskey-auth-nonsense", "--timeout=10s", check=False)
    assert done.returncode and "key" in done.stderr.lower(), done.stderr
    expired = tailnet.json("preauthkeys", "create", "--user", tailnet.user_id, "--expiration", "0s")["key"]
    done = node.weft("up", f"--login-server={tailnet.url}", f"--auth-key={expired}", "--timeout=10s", check=False)
    assert done.returncode and "key" in done.stderr.lower(), done.stderr
    assert "make a new key" in done.stderr, done.stderr
    for text in ("", "\0" * 600, "x" * 5000, "two keys\n"):
        (lab.folder / "key").write_text(text)
        done = node.weft("up", f"--login-server={tailnet.url}", f"--auth-key=file:{lab.folder}/key", check=False, timeout=20)
        assert done.returncode and "holds no key" in done.stderr, done.stderr


def test_wrong_servers(lab, tailnet):
    """Without a --timeout: one who waits for a login that cannot come is told why."""
    node = Node(lab.public_host("one", 20), tailnet)
    for url in ("not a url", "http://", "http://[::1", "https://user:word@example.com", f"http://{tailnet.host.ip4}:99999"):
        done = node.weft("up", "--reset", "--force-reauth", f"--login-server={url}", f"--auth-key={tailnet.key}", check=False, timeout=20)
        assert done.returncode == 1 and "URL" in done.stderr, f"{url}: {done.stderr}"
    for url in (f"http://{tailnet.host.ip4}:1", f"{tailnet.url}/elsewhere", f"https://{tailnet.host.ip4}:8080"):
        done = node.weft("up", "--reset", "--force-reauth", f"--login-server={url}", f"--auth-key={tailnet.key}", check=False, timeout=60)
        assert done.returncode == 1 and f"is {url} the right server?" in done.stderr, f"{url}: {done.stderr}"


def test_single_use_key_is_used_once(lab, tailnet):
    key = tailnet.auth_key(tailnet.user_id)
    Node(lab.public_host("one", 20), tailnet).up(key)
    two = Node(lab.public_host("two", 21), tailnet)
    done = two.weft("up", f"--login-server={tailnet.url}", f"--auth-key={key}", "--timeout=10s", check=False)
    assert done.returncode and "key" in done.stderr.lower(), done.stderr
    assert len(tailnet.nodes()) == 1


def fill(path):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(fd, bytes(4096)):
            pass
    except OSError:
        os.close(fd)


def test_full_disk(lab, tailnet):
    """A node whose disk is full says so, keeps running, and loses nothing it had."""
    small = lab.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], check=True)
    try:
        fill(small / "filler")
        program = lab.public_host("one", 20).start("weftd", [BUILD / "weftd", f"--statedir={small}/state", f"--socket={lab.folder}/full.sock", "--tun=weft0"])
        try:
            program.process.wait(10)
            assert program.process.returncode
        except subprocess.TimeoutExpired:
            pass  # running on in memory is fine, saying nothing is not
        assert "space" in program.output().lower(), program.output()
    finally:
        for program in lab.programs:
            program.kill()
        subprocess.run(["umount", small], check=True)


def test_read_only_state(lab):
    folder = lab.folder / "state"
    folder.mkdir()
    (folder / "tailscaled.state").write_text("{}")
    done = lab.public_host("one", 20).run(
        "unshare", "-m", "sh", "-c", f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && "
        f"exec {BUILD}/weftd --statedir={folder} --socket={lab.folder}/s.sock --tun=weft0", check=False, timeout=20)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Read-only file system" in line and "--state" in line, done.stderr


def test_data_port_taken(lab, tailnet):
    """Another program has the port that was asked for: the node takes another, and says so."""
    host = lab.public_host("one", 20)
    holder = host.start("holder", [sys.executable, "-c", "import socket, time\n"
                                   "for f, a in ((socket.AF_INET, ''), (socket.AF_INET6, '::')):\n"
                                   " s = socket.socket(f, socket.SOCK_DGRAM)\n"
                                   " if f == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)\n"
                                   " s.bind((a, 41641)); globals()[f.name] = s\nprint('held', flush=True); time.sleep(600)"])
    wait_until("the port", lambda: "held" in holder.output(), 30)
    folder = lab.folder / "taken"
    program = host.start("weftd", [BUILD / "weftd", f"--statedir={folder}", f"--socket={lab.folder}/p.sock", "--tun=weft0", "--port=41641"])
    wait_until("a word about it", lambda: "is taken; another is used  asked=41641" in program.output(), 30)


def as_nobody(script, node):
    """A Python script that a stranger runs against the node's socket."""
    for folder in (node.folder, node.host.lab.folder):
        folder.chmod(0o755)
    script = "import os, socket, sys, time\nos.setuid(65534)\n" + script
    return subprocess.Popen([sys.executable, "-c", script, node.socket], stdout=subprocess.PIPE)


def test_a_stranger_does_not_lock_the_owner_out(lab, tailnet):
    """The socket is open to every user; one who holds many connections leaves some to root."""
    node = Node(lab.public_host("one", 20), tailnet)
    hold = ("held = []\n"
            "for _ in range(600):\n s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); held.append(s)\n"
            "print('held', flush=True); time.sleep(60)")
    with as_nobody(hold, node) as stranger:
        try:
            assert stranger.stdout.readline() == b"held\n"
            node.weft("status", "--json")
        finally:
            stranger.kill()


def test_a_flood_does_not_lock_the_owner_out(lab, tailnet):
    """Strangers who connect as fast as they can, hold what they get, and come again."""
    node = Node(lab.public_host("one", 20), tailnet)
    flood = ("held = []\nprint('begun', flush=True)\n"
             "while True:\n s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); held.append(s); held = held[-500:]")
    strangers = [as_nobody(flood, node) for _ in range(4)]
    try:
        for stranger in strangers:
            assert stranger.stdout.readline() == b"begun\n"
        for _ in range(20):
            node.weft("status", "--json")
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.communicate()


def test_unprivileged(lab):
    host = lab.public_host("one", 20)
    folder = lab.folder / "user"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    lab.folder.chmod(0o755)
    done = host.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BUILD / "weftd", f"--statedir={folder}",
                    f"--socket={folder}/s.sock", check=False, timeout=20)
    assert done.returncode and ("root" in done.stderr or "CAP_NET_ADMIN" in done.stderr), done.stderr


