"""What bench/tunnel measures. Each function loads one tunnel and returns {figure: value}."""

import json
import re
import statistics
import subprocess
import time

from tunnel_programs import BUILD, Failure

FLOOD_PORT = 5202
UDP_HEADERS = 28
SMALL = 64  # bytes of a small packet, from its IP header on


def pings(tunnel, count, interval):
    """Starts a ping; call the result for the sorted round trips in ms."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", tunnel.lab.a.netns, "ping", "-n", "-c", str(count), "-i", str(interval), "-W", "2", tunnel.target],
        stdout=subprocess.PIPE, text=True)

    def result():
        text, _ = process.communicate(timeout=60)
        return sorted(map(float, re.findall(r"time=([\d.]+)", text)))
    return result


def wait_listening(tunnel, kind, port):
    for _ in range(100):
        if f"{tunnel.target}:{port}" in tunnel.lab.b.run("ss", f"-ln{kind}").stdout:
            return
        time.sleep(0.05)
    raise Failure(f"nothing listens on {tunnel.target}:{port}")


def iperf(tunnel, seconds, *flags):
    server = tunnel.lab.b.start("iperf3", ["iperf3", "-s", "-1", "-B", tunnel.target])
    try:
        wait_listening(tunnel, "t", 5201)
        out = tunnel.lab.a.run("iperf3", "-J", "-c", tunnel.target, "-t", seconds, "-C", "cubic", *flags, timeout=seconds + 60)
        return json.loads(out.stdout)["end"]
    finally:
        server.stop()


def tcp(flows, both=False):
    def measure(tunnel, seconds):
        before = tunnel.cpu_seconds()
        ping = pings(tunnel, int(seconds * 20) - 10, 0.05)
        end = iperf(tunnel, seconds, "-P", flows, *(["--bidir"] if both else []))
        sums = [end["sum_received"]] + ([end["sum_received_bidir_reverse"]] if both else [])
        gigabytes = sum(s["bytes"] for s in sums) / 1e9
        cpu = tunnel.cpu_seconds() - before
        times = ping()
        return {
            "Mbit/s": sum(s["bits_per_second"] for s in sums) / 1e6,
            "CPU s/GB": cpu / gigabytes,
            "ping under load, ms": statistics.median(times) if times else float("nan"),
            "ping under load p95, ms": times[len(times) * 95 // 100] if times else float("nan"),
        }
    return measure


def flood(tunnel, seconds, flows, payload):
    """(packets, bytes of IP packets) a second that arrive, and CPU seconds of the daemons."""
    tool = BUILD / "bench" / "weft-flood"
    sink = tunnel.lab.b.start("flood", [tool, "receive", tunnel.target, FLOOD_PORT, seconds])
    wait_listening(tunnel, "u", FLOOD_PORT)
    before = tunnel.cpu_seconds()
    at = len(sink.output())
    tunnel.lab.a.run(tool, "send", tunnel.target, FLOOD_PORT, flows, payload, seconds + 1, timeout=seconds + 60)
    sink.process.wait(30)
    cpu = tunnel.cpu_seconds() - before
    found = re.search(r"packets=(\d+) bytes=(\d+) seconds=([\d.]+)", sink.output()[at:])
    if not found:
        raise Failure(f"no packet of the flood arrived: {sink.output()}")
    packets, size, took = int(found[1]), int(found[2]), float(found[3])
    return packets / took, (size + UDP_HEADERS * packets) / took, cpu / (took + 1) * took


def udp(flows):
    def measure(tunnel, seconds):
        _, rate, cpu = flood(tunnel, seconds, flows, tunnel.mtu - UDP_HEADERS)
        return {"Mbit/s": rate * 8 / 1e6, "CPU s/GB": cpu / (rate * seconds / 1e9) if rate else float("nan")}
    return measure


def small_packets(tunnel, seconds):
    rate, _, cpu = flood(tunnel, seconds, 1, SMALL - UDP_HEADERS)
    return {"packets/s": rate, "CPU us/packet": cpu * 1e6 / (rate * seconds) if rate else float("nan")}


def round_trip(tunnel, _seconds):
    times = pings(tunnel, 50, 0.02)()
    return {"ping, ms": statistics.median(times)}


def idle_memory(tunnel, _seconds):
    return {"RSS idle, MB": tunnel.memory_mb("VmRSS")}


MEASURES = {
    "idle": idle_memory,
    "ping": round_trip,
    "tcp1": tcp(1),
    "tcp4": tcp(4),
    "tcp16": tcp(16),
    "both": tcp(1, both=True),
    "udp1": udp(1),
    "udp4": udp(4),
    "udp16": udp(16),
    "small": small_packets,
}
TITLES = {
    "idle": "at rest", "ping": "idle", "tcp1": "TCP, 1 flow", "tcp4": "TCP, 4 flows", "tcp16": "TCP, 16 flows",
    "both": "TCP, both directions at once, sum", "udp1": "UDP, 1 flow", "udp4": "UDP, 4 flows", "udp16": "UDP, 16 flows",
    "small": "UDP, packets of 64 bytes", "peak": "most memory",
}
