# SPDX-License-Identifier: MIT
"""Tells what was measured: the machine and the versions, the table as Markdown, and the files.

Measures nothing and draws nothing.
"""

import datetime
import json
import os
import platform
import re
import subprocess
import tempfile

import rows as row_table

MOST_USE_BY_OTHERS = 0.1  # of all cores; above it the report warns
NOTES = """\
Each figure is the median over the rounds; in a round the programs take turns row by row. Rows of one thread (and those
that name no threads) are in CPU time, which other programs on the machine move least; rows of two threads in wall time.
"Best peer / ours" above 1 means that we are faster, or take less memory.

- `train/...`: forward and backward, float32, from a dense gradient of every hidden state to those of weights, biases
  and xs. No optimizer. GFLOP/s count the matrix products.
- `user_cell`: an LSTM written by a user: a functor here, single operations at the peers (`torch.compile` where it is
  faster). `op_by_op`: without a functor here; the peers' figure is that of `user_cell`.
- `grid/md_lstm`: an MD-LSTM on images of S x S in one direction, as `train/...`; peers run the cells of an anti-diagonal
  together, in `md_lstm_by_cell` one after the other.
- `ragged`: LSTMs and a GRU on sequences of different lengths. `lstm`: uniform in [T/4, T]; `full`: all of T; `words`: 800
  words of 1 to 9 letters, and one of 60. The peers pack the sequences. GFLOP/s count the real steps.
- `charlm/train`: embedding 64, 2 x 256 LSTM, 65 symbols, T 100, N 32, gradients clipped by norm, Adam. `charlm/sample`:
  the same model, one symbol per call, drawn from the softmax; `_stepper`: by a Stepper, `_bf16`: one with bfloat16 weights,
  which are rounded (the peers stay at float32). `infer`: an LSTM on one number and a linear unit, one
  number in and one out per call.
- `memory`: growth of the resident memory at its peak during one training step.
- Where a peer has several ways to write a row, the fastest is taken."""


def first_line(command):
    try:
        done = subprocess.run(command, text=True, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else ""


def cpu_name():
    """The processor's name as the kernel gives it, or the architecture where it gives none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            fields = [line.split(":", 1) for line in file if ":" in line]
    except OSError:
        return platform.machine()
    found = {key.strip(): value.strip() for key, value in reversed(fields)}
    if "model name" not in found:
        return platform.machine()
    return (f"{found['model name']} (family {found.get('cpu family', '?')}, "
            f"model {found.get('model', '?')})")


def load():
    """Load averages over 1, 5 and 15 minutes."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def commit(root):
    """The commit's short name, marked where files differ from it."""
    name = first_line(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"])
    changed = first_line(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return (name or "unknown") + (" with changes" if changed else "")


class MachineUse:
    """How much CPU other programs took between start and end, in cores."""

    def __init__(self):
        self.start = self.now()

    @staticmethod
    def now():
        """Seconds: the clock, CPU time of all programs, stolen time, CPU time of ours that ended."""
        with open("/proc/stat", encoding="ascii") as file:
            ticks = [int(number) for number in file.readline().split()[1:9]]
        user, nice, system, _, _, irq, soft_irq, steal = (
            tick / os.sysconf("SC_CLK_TCK") for tick in ticks)
        own = os.times()
        return (own.elapsed, user + nice + system + irq + soft_irq, steal,
                own.user + own.system + own.children_user + own.children_system)

    def others(self):
        """In words; call it when all programs that were started have ended."""
        elapsed, busy, stolen, own = (b - a for a, b in zip(self.start, self.now()))
        cores = len(os.sched_getaffinity(0))
        used = max(0, busy - own) / elapsed
        words = (f"other programs used {used:.2f} of {cores} cores meanwhile, the host withheld "
                 f"{stolen / elapsed:.2f}")
        if used + stolen / elapsed > MOST_USE_BY_OTHERS * cores:
            words += "; **a busy machine: rows of two threads say little**"
        return words


def count_instructions(root):
    """What bench/callgrind.sh prints, or why it printed nothing. Builds and runs for a minute or two."""
    try:
        done = subprocess.run([str(root / "bench" / "callgrind.sh")], text=True, capture_output=True,
                              timeout=1800, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not counted: {error}"
    if done.returncode != 0:
        return f"not counted: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}"
    return done.stdout.strip()


def about(root, programs, rounds, load_before, others):
    """What a result depends on, as pairs of a name and a text."""
    ours = programs[0]
    cores = len(os.sched_getaffinity(0))
    pairs = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(root),
        "CPU": f"{cpu_name()}, {cores} cores",
        "system": f"Linux {platform.release()}, {os_name()}",
        "compilers": ", ".join(filter(None, (first_line(["c++", "--version"]),
                                             first_line(["clang++", "--version"])))),
        "rounds": str(rounds),
        "load": f"before {load_before}, after {load()}; {others}",
    }
    if "kernels" in ours.context:
        pairs[ours.title] = f"kernels for {ours.context['kernels']}"
    for program in programs[1:]:
        pairs[program.title] = program.version or "did not start"
    return pairs


def os_name():
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            return re.search(r'^PRETTY_NAME="?([^"\n]*)', file.read(), re.MULTILINE)[1]
    except (OSError, TypeError):
        return "unknown system"


def markdown(run):
    """The whole report."""
    titles = run["titles"]
    lines = ["# Tapeloop and its peers, on the CPU", ""]
    lines += [f"- {key}: {value}" for key, value in run["about"].items()]
    lines += [f"- {peer}: missing: {reason}" for peer, reason in run["missing"].items()]
    lines += ["", NOTES, ""]
    header = ["row", *titles.values(), "best peer / ours", "best peer", "our rate"]
    lines += ["| " + " | ".join(header) + " |",
              "|---|" + "---:|" * (len(titles) + 1) + "---|---:|"]
    for entry in run["rows"]:
        row, medians = entry["row"], entry["medians"]
        ratio = f"{entry['ratio']:.2f}" if entry["ratio"] else "-"
        cells = [f"`{row}`", *(row_table.shown(row, medians.get(key)) for key in titles), ratio,
                 titles[entry["best_peer"]] if entry["best_peer"] else "-",
                 row_table.rate(row, medians.get("ours")) or "-"]
        lines.append("| " + " | ".join(cells) + " |")
    if run.get("callgrind"):
        lines += ["", f"Counted by `bench/callgrind.sh`, which no load moves: {run['callgrind']}."]
    lines += variants_chosen(run)
    if run["troubles"]:
        lines += ["", "Rows that failed:", ""]
        lines += [f"- {t['peer']}, `{t['row']}`: {t['error']}" for t in run["troubles"]]
    return "\n".join(lines)


def variants_chosen(run):
    """Which way of writing a row was the fastest, where a peer has several."""
    chosen = {}
    for entry in run["rows"]:
        kind = "/".join(part for part in entry["row"].split("/") if ":" not in part)
        for key, variant in entry["variants"].items():
            if key != "ours" and row_table.peer_row(entry["row"]) == entry["row"] and variant:
                found = chosen.setdefault(kind, {}).setdefault(run["titles"][key], {})
                found[variant] = found.get(variant, 0) + 1
    lines = []
    for kind, programs in chosen.items():
        texts = [f"{title}: " + ", ".join(f"{name} ({count})" for name, count in variants.items())
                 for title, variants in programs.items()]
        lines.append(f"- `{kind}`: " + "; ".join(texts))
    return ["", "What the peers ran, with the number of rows:", "", *lines] if lines else []


def as_json(run):
    return json.dumps(run, indent=1, ensure_ascii=False, allow_nan=False)


def standard_path(folder, date):
    """FOLDER/YYYY-MM-DD-CPU.md; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\(.*", "", cpu_name()).replace("Processor", "")
    cpu = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return folder / f"{date.isoformat()}-{cpu}.md"


def write(path, text):
    """Writes beside `path` and renames, so that a failure leaves an older file whole."""
    handle, draft = tempfile.mkstemp(dir=path.resolve().parent, prefix=".draft-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        os.chmod(draft, 0o644)  # mkstemp makes files that only their owner may read
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
