"""Fixtures that the lab and the interoperability tests share."""

import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from tailnet import Control, Relay  # noqa: E402
from topology import Lab  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the slow cases too")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; only with --long")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing case shows the end of every program's log."""
    outcome = yield
    report = outcome.get_result()
    lab = item.funcargs.get("lab") if hasattr(item, "funcargs") else None
    if report.failed and lab:
        for program in lab.programs:
            report.sections.append((program.name, "\n".join(program.output().splitlines()[-40:])))


@pytest.fixture
def lab(request):
    with Lab(f"t{os.getpid()}") as lab: # two runs at once do not meet
        yield lab
    shutil.rmtree(lab.folder, ignore_errors=True)


def make_tailnet(lab, **options):
    """A relay, a control server that knows it, a user and a reusable key."""
    relay = Relay(lab.public_host("relay", 3))
    control = Control(lab.public_host("control", 2), [relay], **options)
    control.relay = relay
    control.user_id = control.user("alice")
    control.key = control.auth_key(control.user_id, "--reusable")
    return control


@pytest.fixture
def tailnet(lab):
    return make_tailnet(lab)
