# SPDX-License-Identifier: MIT
"""`./dev bench --compare`: times our benchmarks and our peers in turn on this machine, and compares.

Builds nothing of ours (`dev` does that) and asserts no time. Every round asks each program for each
row, one after the other, so that a busy moment of the machine meets all of them; the table shows
medians over the rounds and the ratio of the best peer to ours.
"""

import argparse
import datetime
import re
import statistics
import sys
import time
from pathlib import Path

import chart
import peers
import report
import rows as row_table
from programs import Ours

ROOT = Path(__file__).resolve().parent.parent.parent


def positive(kind):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < 1e6:
            raise argparse.ArgumentTypeError(f"expected a number above 0, got '{text}'")
        return value
    return parse


def row_pattern(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {error}") from error


def peer_keys(text):
    keys = [key for key in text.split(",") if key]
    unknown = [key for key in keys if key not in peers.PACKAGES]
    if unknown or not keys:
        raise argparse.ArgumentTypeError(f"unknown peer '{','.join(unknown)}'; there are "
                                         f"{','.join(peers.PACKAGES)}")
    return keys


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="./dev bench --compare",
        description="Times our benchmarks and the peers' in turn and prints one table.",
        epilog="A run of all rows with all peers is written to bench/results/, with a picture; one "
               "of some rows or some peers only where --out says.")
    parser.add_argument("--compare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--packages", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=row_pattern, metavar="REGEX",
                        help="only rows whose name holds this, such as 'train/lstm.*threads:1'")
    parser.add_argument("--rounds", type=positive(int), default=5, metavar="N",
                        help="measurements of each row by each program (default 5)")
    parser.add_argument("--peers", type=peer_keys, default=list(peers.PACKAGES), metavar="LIST",
                        help=f"some of {','.join(peers.PACKAGES)} (default all)")
    parser.add_argument("--out", type=Path, metavar="FILE.md",
                        help="where the table goes; FILE.json and speed.svg are written beside it")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", metavar="FOLDER",
                        help="the build whose bench/ is timed (default build/release)")
    parser.add_argument("--torch-python", type=Path, metavar="FILE",
                        help="a Python that has PyTorch, instead of build/peers/venv")
    parser.add_argument("--dynet-python", type=Path, metavar="FILE",
                        help="a Python that has DyNet, such as one built for this CPU, instead of "
                             "build/peers/dynet")
    parser.add_argument("--callgrind", action="store_true",
                        help="count the tape's instructions per node too (bench/callgrind.sh); a run "
                             "of all rows does so anyway")
    parser.add_argument("--run-seconds", type=positive(float), default=0.4, metavar="S",
                        help="length of one measurement of ours; peers take 0.4 (default 0.4)")
    args = parser.parse_args()
    if args.out and (args.out.suffix != ".md" or not args.out.resolve().parent.is_dir()):
        parser.error(f"--out: expected a name ending in .md in a folder that exists, got "
                     f"'{args.out}'")
    args.callgrind = args.callgrind or not args.rows
    args.selected = [row for row in row_table.all_rows() if not args.rows or args.rows.search(row)]
    if not args.selected:
        parser.error(f"--rows: no row's name holds '{args.rows.pattern}'; names look like "
                     f"{row_table.all_rows()[0]}")
    return args


def progress(text):
    """One line that is written over, on a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)


def set_up(args):
    """The programs that can be had, ours first, and why the others cannot."""
    maker = peers.SetUp(ROOT / "build" / "peers", args.torch_python, args.dynet_python)
    programs, missing = [Ours(args.build / "bench", args.run_seconds)], {}
    for key in args.peers:
        try:
            programs.append(maker.peer(key))
        except peers.Missing as reason:
            missing[peers.TITLES[key]] = str(reason)
            print(f"dev: {peers.TITLES[key]} is missing: {reason}", file=sys.stderr)
    return programs, missing


def measure_all(args, programs):
    """results[row][program] = list of measurements, one for each round that gave one; what failed;
    and whether it got to the end."""
    results = {row: {program.key: [] for program in programs} for row in args.selected}
    troubles = {}
    try:
        measure_rounds(args, programs, results, troubles)
    except KeyboardInterrupt:
        return results, troubles, False
    return results, troubles, True


def measure_rounds(args, programs, results, troubles):
    """Adds to `results` and `troubles` as it goes."""
    started = time.monotonic()
    for number in range(args.rounds):
        known = {}  # what peers answered in this round
        for place, row in enumerate(args.selected):
            if row_table.is_memory(row) and number:
                continue  # load does not move it
            # The first of a round changes, so that none always follows the same neighbour.
            turn = (number + place) % len(programs)
            for program in programs[turn:] + programs[:turn]:
                progress(f"round {number + 1} of {args.rounds}, {time.monotonic() - started:.0f} s: "
                         f"{row}, {program.title}")
                asked = row if program.key == "ours" else row_table.peer_row(row)
                if (program.key, asked) not in known:
                    known[program.key, asked] = one_measurement(program, asked)
                found = known[program.key, asked]
                if found and "error" in found:
                    troubles.setdefault((program.title, row), found["error"])
                elif found:
                    results[row][program.key].append(found)


def one_measurement(program, row):
    """A measurement; whatever goes wrong in it costs this one and no other."""
    try:
        if row_table.is_memory(row) and program.key != "ours":
            return program.measure_afresh(row)
        return program.measure(row)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def summarize(rows, programs, results):
    """Medians over rounds of each row, and the ratio of the best peer to ours."""
    table = []
    for row in rows:
        what = row_table.quantity(row)
        medians, variants = {}, {}
        for program in programs:
            found = [m for m in results[row][program.key] if m.get(what) is not None]
            if found:
                medians[program.key] = statistics.median(m[what] for m in found)
                variants[program.key] = found[-1].get("variant", "")
        theirs = {key: value for key, value in medians.items() if key != "ours"}
        best = min(theirs, key=theirs.get) if theirs else None
        ratio = theirs[best] / medians["ours"] if best and medians.get("ours") else None
        table.append({"row": row, "quantity": what, "medians": medians, "variants": variants,
                      "best_peer": best, "ratio": ratio, "measurements": results[row]})
    return table


def main():
    args = parse_arguments()
    if args.packages:
        for key in args.peers:
            print(*peers.PACKAGES[key])
        if args.callgrind:
            print("valgrind")
        return
    programs, missing = set_up(args)
    load_before, use = report.load(), report.MachineUse()
    try:
        results, troubles, complete = measure_all(args, programs)
    finally:
        for program in programs:
            program.close()
    progress("")
    run = {
        "about": report.about(ROOT, programs, args.rounds, load_before, use.others()),
        "missing": missing,
        "troubles": [{"peer": peer, "row": row, "error": error}
                     for (peer, row), error in troubles.items()],
        "titles": {program.key: program.title for program in programs},
        "rows": summarize(args.selected, programs, results),
        "callgrind": report.count_instructions(ROOT) if args.callgrind and complete else None,
    }
    table = report.markdown(run)
    print(table)
    if not complete:
        sys.exit("dev: interrupted; the table holds what was measured until then, no file was written")
    whole = args.rows is None and len(args.peers) == len(peers.PACKAGES)
    if args.out is None and not whole:
        return
    out = args.out or report.standard_path(ROOT / "bench" / "results", datetime.date.today())
    report.write(out.with_suffix(".json"), report.as_json(run))
    report.write(out, table)
    picture = chart.draw(run)
    if picture:
        report.write(out.parent / "speed.svg", picture)
    print(f"dev: written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
