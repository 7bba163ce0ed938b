"""What ./quickstart shows: a tailnet of two nodes behind two NATs."""

import os
import shutil
import signal
import sys
import time

from tailnet import Control, Node, Relay
from topology import BUILD, Failure, Lab, wait_until


class Steps:
    """Numbered lines with the time each step took."""

    def __init__(self):
        self.last = time.monotonic()

    def done(self, text):
        now = time.monotonic()
        print(f"[{now - self.last:5.1f} s]  {text}", flush=True)
        self.last = now


def indent(text):
    print("".join(f"            {line}\n" for line in text.rstrip().splitlines()), flush=True)


def hint(control, home):
    print(f"""
What to try next, from another terminal, as root:

  ip netns exec {home.host.netns} {BUILD}/weft --socket={home.socket} status
  ip netns exec {home.host.netns} ping desk's address
  ip netns exec {control.host.netns} {BUILD}/weft-control -c {control.config} nodes list
""", flush=True)


def how_to_join():
    print("""
To join a real machine, run weft-control where your machines can reach it (README.md,
"A tailnet of your own"), and on each of them:

  sudo build/weftd &
  sudo build/weft up --login-server https://YOUR-SERVER --auth-key KEY

Official clients join the same server: tailscale up --login-server https://YOUR-SERVER
""", flush=True)


def show(lab):
    steps = Steps()
    relay = Relay(lab.public_host("relay", 3))
    control = Control(lab.public_host("control", 2), [relay])
    steps.done("control server and relay are up")

    user = control.user("demo")
    key = control.auth_key(user, "--reusable")
    home, office = lab.nat("home", 11), lab.nat("office", 12)
    laptop, desk = Node(home.host("laptop", 2), control), Node(office.host("desk", 2), control)
    started = time.monotonic()
    laptop.up(key, "--hostname=laptop")
    desk.up(key, "--hostname=desk")
    wait_until("the nodes to see each other", lambda: all(node.peers() for node in (laptop, desk)), 30)
    steps.done("two nodes joined, each behind a NAT of its own")
    indent(laptop.weft("status").stdout)

    target = desk.address()
    line = laptop.wait_direct(target, 30)
    steps.done(f"direct through both NATs, {time.monotonic() - started:.1f} s after the first node started")
    indent(line)
    indent(laptop.host.run("ping", "-c3", "-i0.2", target).stdout)

    home.drop_udp(True)
    line = laptop.wait_relayed(target, 30)
    steps.done("UDP blocked at one NAT: the same ping goes over the relay")
    indent(line)
    home.drop_udp(False)
    line = laptop.wait_direct(target, 60)
    steps.done("UDP free again: back to the direct path")
    indent(line)
    return control, laptop


def main():
    if os.geteuid() != 0:
        sys.exit("demo: network namespaces and TUN devices need root")
    # A signal becomes an exception, so that the lab is taken down on every way out; Ctrl-C
    # too where the shell that started us in the background had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    lab = Lab("demo")
    try:
        with lab:
            control, laptop = show(lab)
            if "--once" in sys.argv:
                print("Both pings came as they should.")
                how_to_join()
            else:
                hint(control, laptop)
                how_to_join()
                print("The demo runs until Ctrl-C.", flush=True)
                signal.pause()
    except KeyboardInterrupt:
        print("\nTaken down; nothing is left behind.")
    except Failure as failure:
        print(f"demo: {failure}", file=sys.stderr)
        print(f"The logs of the programs are in {lab.folder}.", file=sys.stderr)
        return 1
    shutil.rmtree(lab.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
