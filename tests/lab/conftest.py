import os
import resource
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

# A login shell often allows 1,024 descriptors; what the system allows at most suits the cases with thousands of clients.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

from conftest_lab import *  # noqa: E402,F401,F403
from topology import IS_SANITIZED  # noqa: E402


def pytest_collection_modifyitems(config, items):
    if os.geteuid() != 0:
        reason = "needs root for network namespaces and TUN devices"
    elif not os.path.exists("/dev/net/tun"):
        reason = "needs /dev/net/tun"
    elif not shutil.which("nft"):
        reason = "needs nftables"
    else:
        reason = None
    left_out = {"slow"} | ({"plain"} if IS_SANITIZED else set())
    for item in items:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        elif left_out & set(item.keywords) and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="slow: run with ./check --long"))
