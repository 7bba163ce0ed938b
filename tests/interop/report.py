"""The table of the suite: case, client version, direction, result, time."""

import json
import sys
from pathlib import Path

PASSED, FAILED, SKIPPED, PENDING = "passed", "FAILED", "skipped", "pending"


def row(item, report):
    """One row from a pytest report, as plain data."""
    marker = item.get_closest_marker("direction")
    callspec = getattr(item, "callspec", None)
    generation = callspec.params.get("generation") if callspec else None
    if report.failed:
        result = FAILED
    elif report.skipped:
        result = PENDING if item.get_closest_marker("pending") else SKIPPED
    else:
        result = PASSED
    name = item.originalname.removeprefix("test_").replace("_", " ")
    if callspec and callspec.params.keys() - {"generation"}:
        name += f" ({callspec.id.replace(generation + '-', '')})"
    return {"case": name, "version": generation or "v1.102",
            "direction": marker.args[0] if marker else "", "result": result, "seconds": report.duration}


def text(rows):
    """The table for people."""
    if not rows:
        return ""
    width = max(len(r["case"]) for r in rows)
    direction = max(len(r["direction"]) for r in rows)
    lines = [f"{'case':{width}}  {'version':7}  {'direction':{direction}}  result   time"]
    for r in sorted(rows, key=lambda r: (r["direction"], r["case"])):
        lines.append(f"{r['case']:{width}}  {r['version']:7}  {r['direction']:{direction}}  {r['result']:7}  {r['seconds']:.1f} s")
    return "\n".join(lines)


def write(rows, path):
    Path(path).write_text(json.dumps(rows, indent=1) + "\n")


def read(path):
    return json.loads(Path(path).read_text()) if Path(path).exists() else []


if __name__ == "__main__":
    print(text(read(sys.argv[1])))
