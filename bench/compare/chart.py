# SPDX-License-Identifier: MIT
"""Draws the ratios of a run as one SVG of horizontal bars, for doc/benchmarks.md.

Shows no times: they depend on the machine. A bar starts at 1, where the best peer and we are equally
fast, and goes to the right where we are faster; the scale is logarithmic.
"""

import math
from html import escape

import rows as row_table

WIDTH, MARGIN, LABEL, VALUE = 960, 24, 128, 128  # of the picture, around it, left and right of bars
BAR, GAP, GROUP_GAP, TITLE = 11, 3, 8, 34        # heights
TOP, COLUMNS = 86, 2
STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f; }
  .title { font-size: 17px; font-weight: 600; }
  .panel { font-size: 13px; font-weight: 600; }
  .quiet { fill: #57606a; font-size: 11px; }
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  .one { fill: #1f6feb; }
  .two { fill: #8957e5; }
  .even { stroke: #57606a; stroke-width: 1; }
  .grid { stroke: #d8dee4; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; }
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .value { stroke: #0d1117; }
    .one { fill: #58a6ff; }
    .two { fill: #bc8cff; }
    .even { stroke: #9198a1; }
    .grid { stroke: #262c34; }
  }"""
PANELS = (("LSTM, training step", "train/lstm/"), ("GRU, training step", "train/gru/"),
          ("RNN, training step", "train/rnn/"), ("A user's own cell, training step",
                                                 "train/user_cell/"),
          ("Tree-LSTM, training step", "train/tree_lstm/"), ("Tree-LSTM, two children", "train/nary_tree_lstm/"),
          ("Graph LSTM, training step", "train/graph_lstm/"),
          ("Character model: training, sampling", "charlm/"), ("LSTM inference, one sample", "infer/"))


def label(row):
    """What stands left of a row's bars; rows that differ in threads alone share one."""
    s = row_table.sizes(row)
    if row.startswith("train/"):
        return f"N {s['N']}, H {s['H']}"
    if row.startswith("infer/"):
        return f"H {s['H']}" + (", bf16" if "bf16" in row else "")
    if "train" in row:
        return "training"
    return ("Stepper" if "stepper" in row else "sampling") + (", bf16" if "bf16" in row else "")


def panels(run):
    """[(title, [(label, [entry, ...]), ...]), ...] of the rows that have a ratio."""
    found = []
    for title, start in PANELS:
        groups = {}
        for entry in run["rows"]:
            if entry["row"].startswith(start) and entry["ratio"]:
                groups.setdefault(label(entry["row"]), []).append(entry)
        if groups:
            found.append((title, list(groups.items())))
    return found


def group_height(entries):
    return len(entries) * (BAR + GAP) + GROUP_GAP


def panel_height(panel):
    return TITLE + sum(group_height(entries) for _, entries in panel[1]) + 26


def ticks(low, high):
    """Powers of two, from `low` to `high`, with 1 among them."""
    first, last = math.floor(math.log2(low)), math.ceil(math.log2(high))
    step = 1 if last - first <= 6 else 2
    return [2.0 ** k for k in range(first - first % step, last + 1, step)]


def draw(run):
    """The picture as text, or "" where no row has a ratio."""
    shown = panels(run)
    if not shown:
        return ""
    ratios = [entry["ratio"] for _, groups in shown for _, entries in groups for entry in entries]
    low, high = min(0.75, *ratios), max(2.0, *ratios)
    column = (WIDTH - MARGIN * (COLUMNS + 1)) / COLUMNS
    length = column - LABEL - VALUE

    def at(ratio):
        return LABEL + length * math.log(ratio / low) / math.log(high / low)

    parts, y = [], TOP
    for start in range(0, len(shown), COLUMNS):
        line = shown[start:start + COLUMNS]
        for number, panel in enumerate(line):
            x = MARGIN + number * (column + MARGIN)
            parts.append(f'<g transform="translate({x:.0f} {y})">')
            parts += draw_panel(panel, run["titles"], at, [t for t in ticks(low, high)
                                                           if low <= t <= high])
            parts.append("</g>")
        y += max(panel_height(panel) for panel in line) + 10
    about = run["about"]
    head = [
        f'<text class="title" x="{MARGIN}" y="34">How many times faster than the best peer</text>',
        f'<text class="quiet" x="{MARGIN}" y="52">{escape(about["CPU"])}, '
        f'{escape(about["date"][:10])}; best of {escape(peers_named(run))}</text>',
        f'<rect class="one" x="{MARGIN}" y="62" width="11" height="11"/>'
        f'<text x="{MARGIN + 17}" y="72">one thread</text>'
        f'<rect class="two" x="{MARGIN + 100}" y="62" width="11" height="11"/>'
        f'<text x="{MARGIN + 117}" y="72">two threads</text>'
        f'<text class="quiet" x="{MARGIN + 220}" y="72">1 = as fast as the best peer; '
        f'logarithmic</text>',
    ]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
        f'viewBox="0 0 {WIDTH} {y}" role="img" aria-label="Speed of Tapeloop relative to its '
        f'fastest peer, as bars">', f"<style>{STYLE}\n</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{y - 1}" rx="8"/>',
        *head, *parts, "</svg>"])


def peers_named(run):
    return ", ".join(title for key, title in run["titles"].items() if key != "ours")


def draw_panel(panel, titles, at, marks):
    title, groups = panel
    bottom = panel_height(panel) - 26
    parts = [f'<text class="panel" x="0" y="16">{escape(title)}</text>']
    for mark in marks:
        x = at(mark)
        style = "even" if mark == 1 else "grid"
        parts.append(f'<line class="{style}" x1="{x:.1f}" y1="{TITLE - 6}" x2="{x:.1f}" '
                     f'y2="{bottom}"/>')
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">'
                     f'{mark:g}</text>')
    y = TITLE
    for name, entries in groups:
        middle = y + len(entries) * (BAR + GAP) / 2
        parts.append(f'<text x="{LABEL - 12}" y="{middle + 3:.1f}" text-anchor="end">'
                     f'{escape(name)}</text>')
        for entry in entries:
            ratio = entry["ratio"]
            left, right = sorted((at(1), at(ratio)))
            threads = "two" if row_table.sizes(entry["row"]).get("threads") == 2 else "one"
            parts.append(f'<rect class="{threads}" x="{left:.1f}" y="{y}" '
                         f'width="{max(right - left, 1):.1f}" height="{BAR}"/>')
            parts.append(f'<text class="quiet value" x="{right + 5:.1f}" y="{y + BAR - 1}">{ratio:.2f} '
                         f'{escape(titles[entry["best_peer"]])}</text>')
            y += BAR + GAP
        y += GROUP_GAP
    return parts
