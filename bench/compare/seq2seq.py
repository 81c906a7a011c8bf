# SPDX-License-Identifier: MIT
"""`./dev bench --seq2seq`: examples/seq2seq and its twins in PyTorch, in turn on this machine: time and quality.

Builds nothing (`dev` does that) and asserts nothing. Two parts: short runs, interleaved, for the time of an update; and whole
trainings, one for each seed, for how well both do on pairs that neither learned from. The figures of a finished run are kept
in a folder and used again, so that an interrupted comparison goes on.
"""

import argparse
import datetime
import json
import statistics
import subprocess
import sys
from pathlib import Path

import peers
import report

ROOT = Path(__file__).resolve().parent.parent.parent
SHORT = {"dates": 300, "translate": 150, "add": 1000}  # updates of the runs for time
WHOLE = {"dates": 3000, "translate": 4000, "add": 2000}
ABOUT = {
    "dates": "GRU of 64 units, two-way encoder, additive attention, embedding 32, characters; batches of 32, Adam 0.003",
    "translate": "GRU of 128 units, two-way encoder, additive attention, embedding 64, words to characters; batches of 32, "
                 "Adam 0.001",
    "add": "a plain RNN of 16 units, batches of 64 sums of 8 bits, Adam 0.01",
}


class Runs:
    """Starts programs, and keeps what they write under a folder."""

    def __init__(self, folder, ours, python, data):
        self.folder, self.ours, self.python, self.data = folder, ours, python, data
        folder.mkdir(parents=True, exist_ok=True)

    def command(self, program, task, updates, seed, figures):
        options = ["--updates", updates, "--seed", seed, "--threads", 1, "--json", figures]
        if task in self.data:
            options += ["--data", self.data[task], "--validate-every", min(500, updates)]
        if program == "ours":
            out = self.folder / f"{task}-{seed}"
            only_ours = ["--patience", 0, "--beam", 1, "--decay", 0] if task in self.data else []
            return [self.ours, task, "--out", out, *only_ours, *options]
        if task == "add":
            return [self.python, ROOT / "bench/peers/addition_torch.py", *options]
        return [self.python, ROOT / "bench/peers/seq2seq_torch.py", task, *options]

    def figures(self, program, task, updates, seed, number=0):
        """The figures of a run, which takes place unless its file is there; None where it failed."""
        file = self.folder / f"{program}-{task}-{updates}-{seed}-{number}.json"
        if not file.exists():
            print(f"dev: {program}, {task}, {updates} updates, seed {seed}", file=sys.stderr)
            command = [str(part) for part in self.command(program, task, updates, seed, file)]
            done = subprocess.run(command, text=True, capture_output=True, check=False)
            if done.returncode:
                print(f"dev: it failed: {peers.last_line(done.stderr)}", file=sys.stderr)
                return None
        return json.loads(file.read_text(encoding="utf-8"))


def number(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def per_update(figures, kind):
    return None if figures is None else 1e3 * figures[f"train_{kind}seconds"] / figures["updates"]


def per_translation(figures):
    if figures is None or "test" not in figures:
        return None
    seconds = figures["test"].get("translate_cpu_seconds")
    return None if seconds is None else 1e3 * seconds / figures["test"]["pairs"]


def both(ours, theirs, digits):
    """Medians of both, and their ratio, as cells of a table."""
    medians = [statistics.median([v for v in values if v is not None]) if any(v is not None for v in values) else None
               for values in (ours, theirs)]
    ratio = f"{medians[1] / medians[0]:.1f}" if None not in medians and medians[0] else "-"
    return [number(medians[0], digits), number(medians[1], digits), ratio]


def line(cells):
    return "| " + " | ".join(cells) + " |"


def time_table(runs, tasks, rounds):
    lines = [line(["task", "what", "Tapeloop", "PyTorch", "PyTorch / Tapeloop"]), "|---|---|---:|---:|---:|"]
    for task in tasks:
        found = {"ours": [], "torch": []}
        for place in range(rounds):
            for program in ("ours", "torch") if place % 2 == 0 else ("torch", "ours"):
                found[program].append(runs.figures(program, task, SHORT[task], 0, place))
        for kind, name in (("cpu_", "an update, ms CPU"), ("", "an update, ms wall")):
            cells = both(*([per_update(one, kind) for one in found[program]] for program in ("ours", "torch")), 2)
            lines.append(line([task, name, *cells]))
    return lines


def quality_of(task, figures):
    if figures is None:
        return ["-"] * 3
    if task == "add":
        return [" / ".join(str(count) for count in figures["right"].values()), "-", "-"]
    test = figures["test"]
    return [f"{100 * test['exact_match']:.2f} %", f"{test['nats_per_symbol']:.4f}", f"{test['bleu']:.2f}"]


def quality_table(runs, tasks, seeds):
    lines = [line(["task", "seed", "program", "exact match", "nats per symbol", "character BLEU-4", "training, s CPU",
                   "s wall", "a translation, ms CPU"]), "|---|---:|---|---:|---:|---:|---:|---:|---:|"]
    parameters = {}
    for task in tasks:
        tests = {"ours": [], "torch": []}
        for seed in seeds:
            for program, title in (("ours", "Tapeloop"), ("torch", "PyTorch")):
                figures = runs.figures(program, task, WHOLE[task], seed)
                cells = quality_of(task, figures)
                times = [None if figures is None else figures[f"train_{kind}seconds"] for kind in ("cpu_", "")]
                lines.append(line([task, str(seed), title, *cells, number(times[0], 1), number(times[1], 1),
                                   number(per_translation(figures), 3)]))
                if figures and "test" in figures:
                    tests[program].append(figures["test"])
                    parameters.setdefault(task, set()).add(figures["parameters"])
        for program, title in (("ours", "Tapeloop"), ("torch", "PyTorch")):
            if tests[program]:
                means = {key: statistics.mean(test[key] for test in tests[program])
                         for key in ("exact_match", "nats_per_symbol", "bleu")}
                lines.append(line([task, "mean", title, *quality_of(task, {"test": means}), "", "", ""]))
    different = [task for task, counts in parameters.items() if len(counts) > 1]
    if different:
        lines += ["", f"**Not the same model**: the numbers of parameters differ in {', '.join(different)}."]
    return lines


def number_list(text):
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected whole numbers with commas between them, got '{text}'") from error


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="./dev bench --seq2seq",
        description="Times and measures examples/seq2seq and its twins in PyTorch, one thread each. Tasks without a file "
                    "are left out; add needs none.")
    parser.add_argument("--seq2seq", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--packages", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--dates", type=Path, metavar="FILE", help="dates: human TAB ISO 8601")
    parser.add_argument("--translate", type=Path, metavar="FILE", help="sentences: English TAB Chinese")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="short runs of each program for time (3)")
    parser.add_argument("--seeds", type=number_list, default=[0, 1, 2], metavar="LIST",
                        help="whole trainings for quality (0,1,2)")
    parser.add_argument("--only-time", action="store_true", help="no whole trainings, which take the better part of an hour")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "seq2seq", metavar="FOLDER",
                        help="figures of single runs; those that are there are not run again (build/seq2seq)")
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "release" / "examples" / "seq2seq",
                        metavar="FILE", help="ours (build/release/examples/seq2seq)")
    parser.add_argument("--torch-python", type=Path, metavar="FILE",
                        help="a Python that has PyTorch, instead of build/peers/venv")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="where the tables go (bench/results/)")
    args = parser.parse_args()
    for name in ("dates", "translate"):
        file = getattr(args, name)
        if file is not None and not file.is_file():
            parser.error(f"--{name}: there is no file '{file}'")
    if args.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {args.rounds}")
    return args


def main():
    args = parse_arguments()
    if args.packages:
        print(*peers.PACKAGES["torch"])
        return
    data = {name: getattr(args, name) for name in ("dates", "translate") if getattr(args, name)}
    tasks = [*data, "add"]
    try:
        python = peers.SetUp(ROOT / "build" / "peers", args.torch_python).torch_python()
    except peers.Missing as reason:
        sys.exit(f"dev: PyTorch is missing: {reason}")
    if not args.program.is_file():
        sys.exit(f"dev: there is no program '{args.program}'; build it with: ninja -C build/release examples/seq2seq")
    runs = Runs(args.runs, args.program.resolve(), python, data)
    before, use = report.load(), report.MachineUse()
    lines = ["# examples/seq2seq and its twins in PyTorch", ""]
    tables = ["", "## Time", "", f"Medians of {args.rounds} short runs of each, in turn, with one thread. CPU time is what "
              "other programs on the machine move least.", "", *time_table(runs, tasks, args.rounds)]
    if not args.only_time:
        tables += ["", "## Quality", "", "On held-out pairs, the same for both; the weights that did best on validation; greedy "
                   "search, 100 sentences at a time. Sums: how many of 1000 are right in every bit, at 8, 16 and 32 bits.",
                   "", *quality_table(runs, tasks, args.seeds)]
    version = peers.run([python, "-c", "import torch; print(torch.__version__)"], "import torch").strip()
    about = {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
             "commit": report.commit(ROOT), "CPU": report.cpu_name(), "PyTorch": version,
             "load": f"before {before}, after {report.load()}; {use.others()}",
             **{task: ABOUT[task] for task in tasks}}
    text = "\n".join(lines + [f"- {key}: {value}" for key, value in about.items()] + tables)
    print(text)
    out = args.out
    if out is None:
        standard = report.standard_path(ROOT / "bench" / "results", datetime.date.today())
        out = standard.with_name(f"{standard.stem}-seq2seq.md")
    report.write(out, text)
    print(f"dev: written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
