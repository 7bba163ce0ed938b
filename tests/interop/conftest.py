import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lab"))

from conftest_lab import *  # noqa: E402,F401,F403
from conftest_lab import make_tailnet  # noqa: E402
from official import GENERATIONS, why_not  # noqa: E402


def pytest_generate_tests(metafunc):
    if "generation" in metafunc.fixturenames:
        chosen = GENERATIONS if metafunc.config.getoption("--long") else GENERATIONS[:1]
        metafunc.parametrize("generation", chosen)


def pytest_collection_modifyitems(config, items):
    reason = why_not()
    for item in items:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def tailnet(lab):
    return make_tailnet(lab, tls=True)
