import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lab"))

import conftest_lab  # noqa: E402
import report  # noqa: E402
from conftest_lab import lab, make_tailnet, programs_of, sanitizers  # noqa: E402,F401
from elsewhere import Elsewhere  # noqa: E402
from official import GENERATIONS, why_not  # noqa: E402
from topology import Lab  # noqa: E402
from world import World, lab_name  # noqa: E402

ROWS = []


def pytest_addoption(parser):
    conftest_lab.pytest_addoption(parser)
    parser.addoption("--generation", choices=GENERATIONS, action="append", help="only this generation of official programs")
    parser.addoption("--results", metavar="FILE", help="write the table as JSON")


def pytest_configure(config):
    conftest_lab.pytest_configure(config)
    config.addinivalue_line("markers", "direction(text): which side is official, for the table")
    config.addinivalue_line("markers", "pending(feature): what weft lacks for this case; listed, not run")


def pytest_generate_tests(metafunc):
    """One generation after the other, so that what they share starts once."""
    if "generation" in metafunc.fixturenames:
        metafunc.parametrize("generation", metafunc.config.getoption("--generation") or GENERATIONS, scope="session")


def pytest_collection_modifyitems(config, items):
    reason = why_not()
    for item in items:
        pending = item.get_closest_marker("pending")
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        elif pending:
            item.add_marker(pytest.mark.skip(reason=f"pending: {pending.args[0]}"))
        elif "slow" in item.keywords and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="slow: run with ./check --long"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    result = outcome.get_result()
    conftest_lab.add_logs(item, result)
    if result.when == "call" or result.outcome != "passed":
        ROWS.append(report.row(item, result))


def pytest_terminal_summary(terminalreporter, config):
    if ROWS:
        terminalreporter.section("compatibility")
        terminalreporter.write_line(report.text(ROWS))
    if config.getoption("--results"):
        report.write(ROWS, config.getoption("--results"))


@pytest.fixture
def tailnet(lab):
    return make_tailnet(lab, tls=True)


@pytest.fixture(autouse=True)
def fresh_logs(request):
    """A failing case shows the logs of its own time only."""
    for program in programs_of(request.node):
        program.forget_output()


def knows_pins(generation):
    """1.80 takes CertName "sha256-raw:..." for a host name; it trusts the relay's certificate through SSL_CERT_FILE."""
    return generation != "v1.80"


@pytest.fixture(scope="session")
def shared_world(generation):
    with Lab(lab_name(generation)) as lab:
        yield World(lab, make_tailnet(lab, tls=True, pinned=knows_pins(generation)), generation)
    shutil.rmtree(lab.folder, ignore_errors=True)


@pytest.fixture
def world(shared_world):
    """The shared tailnet, everyone in it and well."""
    for program in shared_world.lab.programs:
        program.forget_output()
    shared_world.open_direct_paths()
    shared_world.settle()
    return shared_world


@pytest.fixture(scope="session")
def shared_elsewhere(generation):
    with Lab(lab_name(generation) + "9") as lab:
        yield Elsewhere(lab, generation)
    shutil.rmtree(lab.folder, ignore_errors=True)


@pytest.fixture
def place(shared_elsewhere):
    for program in shared_elsewhere.lab.programs:
        program.forget_output()
    shared_elsewhere.open_direct_paths()
    shared_elsewhere.settle()
    return shared_elsewhere
