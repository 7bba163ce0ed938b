"""Runs every kind of test and ends with one line of totals. Called by ./check."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "check-logs"


class Totals:
    def __init__(self):
        self.passed = self.skipped = 0
        self.failures = []

    @property
    def failed(self):
        return len(self.failures)

    def add(self, passed=0, skipped=0):
        self.passed += passed
        self.skipped += skipped

    def fail(self, name, why):
        self.failures.append(f"{name}: {why}")

    def count(self, ok, name, why):
        """One test: passed, or failed for this reason."""
        if ok:
            self.add(passed=1)
        else:
            self.fail(name, why)

    def __str__(self):
        text = f"{self.passed} passed, {self.failed} failed"
        return text + (f", {self.skipped} skipped" if self.skipped else "")


TOTALS = Totals()


def say(text):
    print(text, flush=True)


def run(command, log, timeout=1800, **kwargs):
    """Runs a command with its output in a log file; returns its exit status. One that takes too long is first asked to tidy up."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with open(LOGS / log, "wb") as out, subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, **kwargs) as program:
        try:
            return program.wait(timeout)
        except subprocess.TimeoutExpired:
            out.write(f"\ntimed out after {timeout} s\n".encode())
            program.send_signal(signal.SIGINT)
        try:
            program.wait(60)
        except subprocess.TimeoutExpired:
            program.kill()
        return -1


def show_end(log, lines=60):
    text = (LOGS / log).read_text(errors="replace").splitlines()
    say("\n".join("    " + line for line in text[-lines:]))


def one(name, command, timeout=1800, **kwargs):
    """A step that is one test: it passes if its command does."""
    start = time.monotonic()
    log = name.replace(" ", "-").replace("/", "-") + ".log"
    status = run(command, log, timeout, **kwargs)
    ok = status == 0
    TOTALS.count(ok, name, f"took over {timeout} s" if status == -1 else f"exit status {status}")
    say(f"  {'ok' if ok else 'FAILED':7}{name}  ({time.monotonic() - start:.0f} s)")
    if not ok:
        show_end(log)
    return ok


def build(folder, options, env=None, targets=()):
    """Configures and builds one variant, or these targets of it; a failure is a failed test."""
    start = time.monotonic()
    environ = os.environ | (env or {})
    log = f"build-{folder}.log"
    ok = True
    if not (ROOT / folder / "build.ninja").exists():
        shutil.rmtree(ROOT / folder, ignore_errors=True)
        ok = run(["meson", "setup", folder, *options], log, env=environ) == 0
    ok = ok and run(["ninja", "-C", folder, *targets], log, env=environ) == 0
    TOTALS.count(ok, f"build {folder}", f"see {log}")
    say(f"  {'ok' if ok else 'FAILED':7}build {folder}  ({time.monotonic() - start:.0f} s)")
    if not ok:
        show_end(log)
    return ok


def meson_tests(folder, suites, env=None, timeout_multiplier=1):
    start = time.monotonic()
    log = f"tests-{folder}.log"
    command = ["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", "-t", str(timeout_multiplier)]
    for suite in suites:
        command += ["--suite", suite]
    run(command, log, env=os.environ | (env or {}))
    counts = {"OK": 0, "FAIL": 0, "TIMEOUT": 0, "SKIP": 0, "ERROR": 0}
    for line in (ROOT / folder / "meson-logs" / "testlog.json").read_text().splitlines():
        result = json.loads(line)
        counts[result["result"]] = counts.get(result["result"], 0) + 1
        if result["result"] == "SKIP":
            reason = (result.get("stdout") or "no reason given").strip().splitlines()[-1]
            say(f"  skipped {result['name']}: {reason}")
        elif result["result"] != "OK":
            TOTALS.fail(f"{folder}, {result['name']}", result["result"].lower())
    failed = sum(counts.values()) - counts["OK"] - counts["SKIP"]
    TOTALS.add(counts["OK"], counts["SKIP"])
    say(f"  {'ok' if not failed else 'FAILED':7}{folder}: {counts['OK']} tests  ({time.monotonic() - start:.0f} s)")
    if failed:
        show_end(log, 120)


def as_root(env):
    """What comes before a command that makes namespaces and TUN devices, for it to run as root and in this environment."""
    if os.geteuid() == 0:
        return []
    if not shutil.which("sudo"):
        say("  the lab makes network namespaces and TUN devices, which needs root: run as root or install sudo")
        return []
    say("  the lab makes network namespaces and TUN devices, which needs root; using sudo")
    return ["sudo", "env", f"PATH={os.environ['PATH']}", *(f"{name}={value}" for name, value in env.items())]


SANITIZE = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


def sanitizers(long):
    """Unit tests, whole tailnets on virtual time and the programs in the lab, which must leave no leak at their end either."""
    if not build("build-asan", ["-Db_sanitize=address,undefined", "-Dbuildtype=debugoptimized", "-Dwerror=false"]):
        return
    meson_tests("build-asan", ["unit", "fuzz"], SANITIZE, 4)
    seeds = 2000 if long else 200
    one(f"simulation of {seeds} seeds with sanitizers", [ROOT / "build-asan" / "weft-sim", "--seeds", str(seeds)], env=os.environ | SANITIZE)
    pytest("lab with sanitizers", "tests/lab", long, env={"WEFT_BUILD": str(ROOT / "build-asan")})


def threads():
    """What runs on several threads: the workers with traffic, sessions shared by them, the queues between them."""
    programs = ["src/dataplane/dataplane_workers_test", "src/dataplane/dataplane_ring_test", "src/tunnel/tunnel_threads_test"]
    options = ["-Db_sanitize=thread", "-Db_lundef=false", "-Dbuildtype=debugoptimized", "-Dwerror=false"]
    if not build("build-tsan", options, targets=programs):
        return
    for program in programs:
        one(f"{program.rsplit('/')[-1]} with the thread sanitizer", [ROOT / "build-tsan" / program], 120,
            env=os.environ | {"TSAN_OPTIONS": "halt_on_error=1"})


def fuzz(seconds, seed):
    """A fixed seed makes two short runs of one commit alike; seed 0 looks somewhere new each time."""
    environ = {"CC": "clang"}
    options = ["-Dfuzz=true", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dbuildtype=debugoptimized", "-Dwerror=false"]
    if not build("build-fuzz", options, environ):
        return
    for target in sorted((ROOT / "build-fuzz" / "tests" / "fuzz").glob("fuzz_*")):
        if not target.is_file():
            continue
        name = target.name.removeprefix("fuzz_")
        found = ROOT / "build-fuzz" / "corpus" / name
        found.mkdir(parents=True, exist_ok=True)
        command = [target, f"-max_total_time={seconds}", f"-seed={seed}", "-timeout=20", "-rss_limit_mb=2048", "-close_fd_mask=0",
                   f"-artifact_prefix={LOGS}/{name}-", found, ROOT / "tests" / "fuzz" / "corpus" / name]
        one(f"fuzz {name}", command, seconds + 120, env=os.environ | SANITIZE)


def simulation(seeds):
    program = ROOT / "build" / "weft-sim"
    if program.exists():
        one(f"simulation of {seeds} seeds", [program, "--seeds", str(seeds)], 1200)


def conformance():
    """The policy corpus captured from the official service; it lies beside the project, not in it."""
    corpus = ROOT.parent / "shared" / "conformance" / "policy"
    if not corpus.is_dir():
        TOTALS.add(skipped=1)
        say(f"  skipped policy conformance: there is no {corpus}")
        return
    start = time.monotonic()
    run([ROOT / "build" / "policy-conformance", corpus], "conformance.log", 300)
    counts = re.findall(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", (LOGS / "conformance.log").read_text(errors="replace"), re.M)
    passed, failed, skipped = (int(n or 0) for n in counts[-1]) if counts else (0, 1, 0)
    TOTALS.add(passed, skipped)
    for _ in range(failed):
        TOTALS.fail("policy conformance", "a case, see conformance.log")
    say(f"  {'ok' if not failed else 'FAILED':7}policy conformance: {passed} cases  ({time.monotonic() - start:.0f} s)")
    if failed:
        show_end("conformance.log", 120)


def pytest(name, folder, long, env={}, options=()):
    """A folder of pytest cases; every skip prints its reason. The long cases include flows of ten minutes for each client generation."""
    start = time.monotonic()
    report = LOGS / f"{name.replace(' ', '-')}.xml"
    log = report.with_suffix(".log").name
    options = [*options, "--long"] if long else options
    report.unlink(missing_ok=True)
    status = run([*as_root(env), sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", f"--junitxml={report}", *options, folder],
                 log, 3 * 3600 if long else 3600, env=os.environ | env)
    if not report.exists():
        TOTALS.fail(name, "pytest did not finish")
        say(f"  FAILED {name}: pytest did not finish")
        show_end(log)
        return
    suite = ElementTree.parse(report).getroot()[0]
    total, skipped = int(suite.get("tests")), int(suite.get("skipped"))
    failed = int(suite.get("failures")) + int(suite.get("errors"))
    TOTALS.add(total - failed - skipped, skipped)
    for case in suite.iter("testcase"):
        for what in [*case.iter("failure"), *case.iter("error")]:
            TOTALS.fail(f"{name}, {case.get('name')}", (what.get("message") or "no message").splitlines()[0])
    if status == -1:
        TOTALS.fail(name, "took too long and was stopped")
    say(f"  {'ok' if not failed else 'FAILED':7}{name}: {total - failed - skipped} tests  ({time.monotonic() - start:.0f} s)")
    for line in re.findall(r"^SKIPPED (?!.*pending: ).*", (LOGS / log).read_text(errors="replace"), re.M):
        say("  " + line)
    if failed or status not in (0, 5):
        show_end(log, 150)


def interop(long):
    """The suite and its table; a long run does everything three times."""
    results = LOGS / "interop.json"
    for _ in range(3 if long else 1):
        results.unlink(missing_ok=True)
        pytest("interop", "tests/interop", long, options=[f"--results={results}"])
        if results.exists():
            say(subprocess.run([sys.executable, "-B", ROOT / "tests" / "interop" / "report.py", results], capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(prog="./check", description="Builds Weft and runs every test.")
    parser.add_argument("--long", action="store_true", help="add the slow cases: fuzzing 60 s a target, 10,000 seeds, long lab runs")
    parser.add_argument("--fuzz-seconds", type=int, metavar="N", help="fuzz each target this long (5, with --long 60)")
    parser.add_argument("--only", metavar="STEP", choices=["unit", "asan", "fuzz", "sim", "lab", "interop"], help="run one kind of test")
    options = parser.parse_args()

    def wanted(step):
        return options.only in (None, step)

    say("Building")
    if not build("build", ["-Dwerror=true"]):
        say(str(TOTALS))
        return 1
    if wanted("unit"):
        say("Unit tests, vectors, past fuzz findings")
        meson_tests("build", ["unit", "fuzz"])
        one("engines make no system call", [ROOT / "tests" / "engine-symbols", ROOT / "build"])
        conformance()
    if wanted("sim"):
        simulation(10000 if options.long else 1000)
    if wanted("asan"):
        say("Address, undefined-behaviour and thread sanitizers")
        sanitizers(options.long)
        threads()
    if wanted("fuzz"):
        say("Fuzzing")
        long = options.long or options.fuzz_seconds
        fuzz(options.fuzz_seconds or (60 if options.long else 5), seed=0 if long else 1)
    if wanted("lab"):
        say("Lab: real programs in network namespaces")
        pytest("lab", "tests/lab", options.long)
    if wanted("interop"):
        say("Interoperability: official clients of the pinned Go modules")
        interop(options.long)
    for failure in TOTALS.failures:
        say(f"FAILED {failure}")
    say(str(TOTALS))
    return 1 if TOTALS.failed else 0


if __name__ == "__main__":
    sys.exit(main())
