"""Fixtures that the lab and the interoperability tests share."""

import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from tailnet import Control, Relay  # noqa: E402
from topology import SANITIZER_STATUS, Lab  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the slow cases too")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; only with --long")
    config.addinivalue_line("markers", "plain: takes long and adds little under sanitizers; there only with --long")


def programs_of(item):
    """The programs of the labs that a case uses: `lab` itself, or one that a fixture has as its .lab."""
    values = getattr(item, "funcargs", {}).values()
    labs = {id(lab): lab for lab in (getattr(value, "lab", value) for value in values) if isinstance(lab, Lab)}
    return [program for lab in labs.values() for program in lab.programs]


def add_logs(item, report):
    """A failing case shows the end of every program's log."""
    if report.failed:
        for program in programs_of(item):
            report.sections.append((program.name, "\n".join(program.output().splitlines()[-40:])))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    add_logs(item, outcome.get_result())


@pytest.fixture(autouse=True)
def sanitizers(monkeypatch):
    """What a build with sanitizers (WEFT_BUILD=build-asan) is to look for, and how it ends when it finds something."""
    monkeypatch.setenv("ASAN_OPTIONS", f"detect_leaks=1:verify_asan_link_order=0:exitcode={SANITIZER_STATUS}")
    monkeypatch.setenv("UBSAN_OPTIONS", f"halt_on_error=1:print_stacktrace=1:exitcode={SANITIZER_STATUS}")


@pytest.fixture
def lab(sanitizers):
    """A lab whose programs must end when they are asked to, without a leak or another finding of a sanitizer."""
    with Lab(f"t{os.getpid()}") as lab: # two runs at once do not meet
        yield lab
        wrong = lab.stop_programs()
    shutil.rmtree(lab.folder, ignore_errors=True)
    assert not wrong, "\n".join(wrong)


def make_tailnet(lab, relays=(), **options):
    """A relay, a control server that knows it and any others, a user and a reusable key."""
    relay = Relay(lab.public_host("relay", 3))
    control = Control(lab.public_host("control", 2), [relay, *relays], **options)
    control.relay = relay
    control.user_id = control.user("alice")
    control.key = control.auth_key(control.user_id, "--reusable")
    return control


@pytest.fixture
def tailnet(lab):
    return make_tailnet(lab)
