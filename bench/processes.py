"""What the scripts here ask /proc about the programs they start."""

import os


def family(pid):
    """A process and all that descend from it."""
    pids = [pid]
    for parent in pids:
        for task in os.listdir(f"/proc/{parent}/task"):
            with open(f"/proc/{parent}/task/{task}/children") as f:
                pids += map(int, f.read().split())
    return pids
