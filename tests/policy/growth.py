#!/usr/bin/env python3
"""A cold policy compile costs each node the same, be there a thousand or ten thousand.

Counted in instructions by callgrind, which other load does not change. What one node
more costs is the difference between two sizes, so the policy's own part, the same at
every size, is left out. A little is allowed for what is sorted.

    growth.py WEFT-POLICY-BENCH
"""

import re
import shutil
import subprocess
import sys
import tempfile

POLICIES = ["allow all", "50 groups, 200 rules", "1,000 tags"]
ALLOWED = 1.15
SKIP = 77


def instructions(program, policy, nodes):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out",
                               program, "--cold", str(policy), str(nodes)], capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def main():
    if not shutil.which("valgrind"):
        print("no valgrind here")
        return SKIP
    failed = False
    for i, name in enumerate(POLICIES):
        # At 1,000 nodes each of the three policies has all the classes it will ever have.
        first, second, third = (instructions(sys.argv[1], i, nodes) for nodes in (1000, 2000, 10000))
        small, large = (second - first) / 1000, (third - second) / 8000
        steep = large > small * ALLOWED
        print(f"{name}: {small:,.0f} instructions for a node up to 2,000 nodes, {large:,.0f} up to 10,000" +
              (" FAIL" if steep else ""))
        failed |= steep
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
