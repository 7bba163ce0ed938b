"""Tables and charts of what bench/tunnel measured: median, and (least-most) of the runs."""

import statistics
from html import escape

from tunnel_measures import TITLES

COLOURS = {"none": "#c9ced6", "ceiling": "#9aa4b2", "weft": "#5aa9e6", "weftd": "#1f6fb2", "weftd-relayed": "#7d5ba6",
           "tailscaled": "#e07a3f", "wireguard-go": "#c2b280", "boringtun-cli": "#8fb996"}


def figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def rows_of(results):
    """[(scene, figure)] in the order they were first measured."""
    return list(dict.fromkeys((r["mtu"], r["peers"], r["network"], r["measure"], r["figure"]) for r in results))


def find(results, program, row):
    """The runs of every call that measured it."""
    return [value for r in results for value in r["values"]
            if r["program"] == program and (r["mtu"], r["peers"], r["network"], r["measure"], r["figure"]) == row]


def title(row):
    mtu, peers, network, measure, name = row
    extra = "".join([f", MTU {mtu}" if mtu != 1280 else "", f", {peers:,} peers" if peers > 1 else "",
                     f", {network}" if network != "clean" else ""])
    return f"{TITLES[measure]}{extra}: {name}"


def table(results):
    programs = list(dict.fromkeys(r["program"] for r in results))
    lines = ["| | " + " | ".join(programs) + " |", "|---|" + "---|" * len(programs)]
    for row in rows_of(results):
        cells = []
        for program in programs:
            values = find(results, program, row)
            if not values:
                cells.append("–")
                continue
            text = figure(statistics.median(values))
            if len(values) > 1:
                text += f" ({figure(min(values))}-{figure(max(values))})"
            cells.append(text)
        lines.append(f"| {title(row)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratios(results, program, others):
    """How the program compares, by the medians of the same calls."""
    lines = []
    for row in rows_of(results):
        mine = find(results, program, row)
        for other in others:
            theirs = find(results, other, row)
            if mine and theirs and statistics.median(theirs):
                lines.append(f"{title(row)}: {program} / {other} = {statistics.median(mine) / statistics.median(theirs):.2f}")
    return "\n".join(lines)


def svg(results):
    """Bars of every Mbit/s figure, a whisker from the least to the most run."""
    rows = [r for r in rows_of(results) if r[4] == "Mbit/s"]
    programs = [p for p in dict.fromkeys(r["program"] for r in results) if p != "none"]
    most = max((max(find(results, p, r), default=0) for p in programs for r in rows), default=0)
    if not most:
        return ""
    left, width, bar, gap = 250, 560, 13, 16
    height = 60 + sum(bar * sum(bool(find(results, p, r)) for p in programs) + gap for r in rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 70} {height}" '
           f'font-family="sans-serif" font-size="11">', f'<rect width="100%" height="100%" fill="white"/>']
    x = left
    for program in programs:
        out.append(f'<rect x="{x}" y="10" width="10" height="10" fill="{COLOURS.get(program, "#888")}"/>'
                   f'<text x="{x + 14}" y="19">{escape(program)}</text>')
        x += 26 + 7 * len(program)
    y = 38
    for row in rows:
        out.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{escape(title(row))}</text>')
        for program in programs:
            values = find(results, program, row)
            if not values:
                continue
            median, low, high = (v / most * width for v in (statistics.median(values), min(values), max(values)))
            out.append(f'<rect x="{left}" y="{y}" width="{median:.1f}" height="{bar - 2}" fill="{COLOURS.get(program, "#888")}"/>'
                       f'<path d="M{left + low:.1f} {y + bar / 2 - 1}H{left + high:.1f}" stroke="black"/>'
                       f'<text x="{left + max(median, high) + 5:.1f}" y="{y + 10}">{figure(statistics.median(values))}</text>')
            y += bar
        y += gap
    return "\n".join(out + ["</svg>", ""])
