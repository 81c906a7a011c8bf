#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example programs as one meets them: what --help shows, options without effect, files that are not there or cannot be
written, few pairs, checkpoints of other programs, signals that stop a training.

usage: tests/examples/example_options_test.py CHAR_LM JAZZ SEQ2SEQ
"""
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import check, check_refused, report, run

LONG = "1000000000"


def interrupted(folder, seconds, stop, program, *options):
    """Ends a run by the signal, `seconds` after its start-up; returns (exit code, standard error)."""
    # A shell that starts the tests in the background has them ignore Ctrl-C, and what they start too.
    with subprocess.Popen([program, *options, "--updates", LONG], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(stop, signal.SIG_DFL)) as process:
        try:
            for line in process.stdout:
                if " parameters" in line:  # the last line before the first update
                    break
            try:
                process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                pass
            process.send_signal(stop)
            process.send_signal(stop)  # as `timeout` and terminals do
            _, error = process.communicate(timeout=200)
        finally:
            process.kill()
    return process.returncode, error


def check_stopped(folder, stop, program, *options):
    """The signal ends a run that would take days, with the exit status that a shell expects, and --resume goes on from there."""
    name = Path(program).name
    for seconds in (2, 15, 60):  # a slow machine needs longer for some updates
        code, error = interrupted(folder, seconds, stop, program, *options)
        found = re.search(r"stopped after update (\d+) of 1000000000, which is saved in (\S+); the same command with "
                          "--resume goes on", error)
        if not found or int(found[1]) > 1:
            break
    check(code == -stop and found, f"{name}: {stop.name}: {code}, {error}")
    if not found:
        return
    check(int(found[1]) > 1, f"{name}: {found[1]} updates in {seconds} s")
    check((Path(folder) / found[2]).exists(), f"{name}: {found[2]} is not there")
    if "--validate-every" in options and "add" not in options:
        check_refused(folder, 1, f"has done {found[1]} updates and was stopped before the first validation, --updates is 1; "
                      f"give --updates {found[1]} or more", program, *options, "--updates", "1", "--resume")
    # Another number than before: the run ends earlier, or goes on.
    more = int(found[1]) + 1
    code, out, error = run(folder, program, *options, "--updates", str(more), "--resume")
    check(code == 0 and f"going on after update {found[1]}" in out, f"{name}: --resume: {code}, {out}, {error}")
    code, out, error = run(folder, program, *options, "--updates", "1", "--resume")
    check(code == 0 and f"nothing to train: {more} updates are done, --updates is 1; a larger number goes on" in out,
          f"{name}: at its end: {code}, {out}, {error}")
    code, out, error = run(folder, program, *options, "--updates", str(more + 1), "--resume")
    check(code == 0 and f"going on after update {more}" in out, f"{name}: past its end: {code}, {out}, {error}")


def check_few_pairs(folder, seq2seq):
    """Three sources are enough, and of such short sentences there is no BLEU-4; two are too few."""
    pairs = Path(folder) / "pairs.tsv"
    short = ("--data", "pairs.tsv", "--source-unit", "character", "--quick", "--updates", "2", "--out", "few")
    for count in (3, 4, 7, 12, 30):
        pairs.write_text("".join(f"{i:03}\t{i % 7}\n" for i in range(count)))
        code, out, error = run(folder, seq2seq, "translate", *short, "--json", "few.json", "--pictures", "2")
        check(code == 0, f"{count} pairs: {code}, {out}, {error}")
        figures = json.loads((Path(folder) / "few.json").read_text())
        check(figures["test"]["bleu"] is None and "BLEU-4 - (no target has 4 characters)" in out, out)
        check(count > 3 or "few pairs: one source is taken for " in out, out)
    pairs.write_text("a\tb\nc\td\na\te\n")
    check_refused(folder, 1, "3 different sources are needed to hold some out, found 2; give more pairs", seq2seq,
                  "translate", *short)
    pairs.write_text("a\tb\nlong\td\nlonger\te\n")
    check_refused(folder, 1, "; give a greater --max-length", seq2seq, "translate", *short, "--max-length", "2")
    with open("/dev/full", "w") as full:
        done = subprocess.run([seq2seq, "--interactive", "--out", "few"], input="001\n002\n", cwd=folder, stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=250)
    check(done.returncode == 1 and "standard output cannot be written" in done.stderr, f"/dev/full: {done}")
    # The same for the model that adds bits.
    code, _, error = run(folder, seq2seq, "add", "--updates", "1", "--out", "bits")
    check(code == 0, error)
    done = subprocess.run([seq2seq, "--interactive", "--out", "bits"], input=b"1\x00+\x001\n\xe9\n\x1b[2J\n", cwd=folder,
                          capture_output=True, timeout=250)
    check(done.returncode == 0 and b"byte 2 of the text is NUL" in done.stderr and
          b"byte 1 of the text is not UTF-8" in done.stderr and b"'\\x1b[2J' is not a sum" in done.stderr, f"bits: {done}")
    # Line ends of other systems: each line gets an answer; a line that is not text is refused.
    lines = b"\xef\xbb\xbf001\r002\r\n\r\n003\n\xe9\n0\x001\n001"
    done = subprocess.run([seq2seq, "--interactive", "--out", "few"], input=lines, cwd=folder, capture_output=True,
                          timeout=250)
    check(done.returncode == 0 and done.stdout.count(b"\n") == 6 and b"never seen" not in done.stderr, f"lines: {done}")
    for part in (b"byte 1 of the text is not UTF-8", b"byte 2 of the text is NUL"):
        check(done.stderr.count(part) == 1, f"lines: {done}")


def check_unwritable(folder, char_lm, jazz, seq2seq):
    """What cannot be written is said before anything is trained; what is there stays, and nothing new is left."""
    place = "/proc/none"  # where nobody can make a file
    for option, ending in (("--gradient-picture", ".svg"), ("--activations", ".html"), ("--json", ".json")):
        check_refused(folder, 1, f"{place}{ending}.partial: cannot be made", char_lm, option, place + ending, "--updates",
                      LONG)
    check_refused(folder, 2, "'-' is not a file: standard output is for people", char_lm, "--json", "-")
    kept = Path(folder) / "kept.json"
    kept.write_text("kept")
    check_refused(folder, 1, "absent.txt: cannot be opened", char_lm, "--data", "absent.txt", "--json", "kept.json",
                  "--activations", "new.html")
    for command in ((char_lm,), (seq2seq, "translate"), (seq2seq, "translate", "--test", "absent.txt")):
        for data in ("absent.txt", "absent/data.txt"):
            check_refused(folder, 1, "cannot be opened", *command, *(() if "--test" in command else ("--data", data)),
                          "--out", "new_out", "--json", "new_json/x.json")
    check_refused(folder, 1, "absent: cannot be opened", jazz, "--data", "absent", "--out", "new_out", "--json",
                  "new_json/x.json")
    check(not list(Path(folder).glob("new_*")), "a folder was made where there is nothing to read")
    check(kept.read_text() == "kept", "a file was touched before there was anything to write")
    check(not list(Path(folder).glob("new.html*")) and not list(Path(folder).glob("*.partial")), "a file was left behind")


def check_bytes(folder, char_lm):
    """Characters of several bytes are several symbols, and neither the text made up nor the one shown ends within one."""
    (Path(folder) / "text.txt").write_text("中文é" * 300)
    trained = ("--data", "text.txt", "--hidden", "16", "--streams", "4", "--steps", "20", "--lr", "0.01", "--out", "bytes")
    code, _, error = run(folder, char_lm, *trained, "--updates", "200", "--temperature", "0", "--activations", "a.svg")
    check(code == 0, f"a text in UTF-8: {code}, {error}")
    for length in range(50, 58):
        code, out, error = run(folder, char_lm, "--generate-only", "--out", "bytes", "--prompt", "中", "--temperature", "0",
                               "--length", str(length))  # run() reads UTF-8
        check(code == 0 and 47 <= len(out.strip().encode()) - 3 <= length, f"a text in UTF-8: {code}, {out}, {error}")
    (Path(folder) / "nul.txt").write_bytes("Some lines of text\n".encode("utf-16-le") * 200)
    code, out, error = run(folder, char_lm, "--data", "nul.txt", "--hidden", "4", "--updates", "2", "--count", "1", "--out",
                           "nul")
    check(code == 0 and out.startswith("nul.txt: the text has NUL bytes, so it is read byte for byte; if it is UTF-16, "),
          f"UTF-16 without a byte-order mark: {code}, {out}, {error}")
    svg = (Path(folder) / "a.svg").read_text()
    check("\\x" not in svg and "cell state c" in svg, "a picture over parts of characters")
    check_refused(folder, 2, "give the --data that it was trained with, or a text by --activations-text", char_lm,
                  "--generate-only", "--out", "bytes", "--activations", "a.html")
    code, out, error = run(folder, char_lm, "--generate-only", "--out", "bytes", "--activations", "a.html",
                           "--activations-text", "中é")
    check(code == 0 and "over 5 symbols" in out, f"--activations-text: {code}, {out}, {error}")


def check_other_programs(folder, char_lm, jazz, seq2seq):
    """A checkpoint of another program is refused in one line. After check_few_pairs and check_bytes."""
    folder = Path(folder)
    for program, source, target, wrote in ((char_lm, "few/last", "few/last", "seq2seq"),
                                           (seq2seq, "bytes/last", "bytes/last", "char_lm"),
                                           (jazz, "few/last", "few/checkpoint", "seq2seq")):
        if source != target:
            shutil.copy(folder / f"{source}.safetensors", folder / f"{target}.safetensors")
        code, _, error = run(folder, program, "--resume", "--out", target.split("/")[0])
        check(code == 1 and f"it was written by '{wrote}', expected '" in error and error.count("\n") == 1,
              f"a checkpoint of {wrote}: {code}, {error}")


def main():
    char_lm, jazz, seq2seq = (str(Path(program).resolve()) for program in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        _, dates, _ = run(folder, seq2seq, "--help")
        _, translate, _ = run(folder, seq2seq, "translate", "--help")
        check("--updates N=3000 " in dates and "--digits" in dates, dates)
        check("--updates N=1200 " in translate and "--digits" not in translate, translate)
        for program in (char_lm, jazz):
            check_refused(folder, 2, "--lr has no effect together with --generate-only, which trains nothing; leave --lr out",
                          program, "--generate-only", "--lr", "0.1")
            check_refused(folder, 1, "--generate-only: there is no nowhere/", program, "--generate-only", "--out", "nowhere")
        check("A symbol is a byte" in re.sub(r"\s+", " ", run(folder, char_lm, "--help")[1]), "--help does not name bytes")
        check_refused(folder, 2, "--top-k has no effect together with --gradient-picture, which does nothing else",
                      char_lm, "--gradient-picture", "x.svg", "--top-k", "3")
        check_refused(folder, 2, "--seed has no effect together with --translate", seq2seq, "--translate", "x", "--seed", "1")
        check_refused(folder, 1, "--out: there is no folder nowhere; train first", seq2seq, "--translate", "x", "--out",
                      "nowhere")
        for program in (char_lm, jazz, seq2seq):
            check_refused(folder, 1, "--resume: there is no nowhere/", program, "--resume", "--out", "nowhere")
        check(not (Path(folder) / "nowhere").exists(), "a folder was made where nothing was written")
        check_stopped(folder, signal.SIGINT, char_lm, "--hidden", "8", "--validate-every", LONG, "--count", "0")
        check_stopped(folder, signal.SIGTERM, jazz, "--hidden", "8", "--evaluate-every", LONG)
        check_stopped(folder, signal.SIGHUP, seq2seq, "add", "--validate-every", LONG)
        letters = ("reverse", "--embedding", "2", "--pairs", "100", "--longest", "2", "--out", "letters")
        code, out, error = run(folder, seq2seq, *letters, "--hidden", "5", "--updates", "3")
        check(code == 0, f"reverse: {code}, {error}")
        code, out, error = run(folder, seq2seq, *letters, "--hidden", "5", "--updates", "5", "--resume")
        check(code == 0 and out.count("going on after update 3\n") == 2, f"reverse --resume: {code}, {out}, {error}")
        # In the first of its two models: the second, which is of the run before, is neither gone on with nor in the way.
        check_stopped(folder, signal.SIGINT, seq2seq, *letters, "--hidden", "4", "--validate-every", LONG)
        code, _, error = run(folder, seq2seq, "add", "--base", "10", "--quick", "--updates", "2", "--out", "decimal")
        picture = (Path(folder) / "decimal/attention.svg").read_text() if code == 0 else ""
        check("lowest digit first<" in picture, f"add --base 10: {code}, {error}, its picture: {picture[:200]}")
        check_few_pairs(folder, seq2seq)
        check_unwritable(folder, char_lm, jazz, seq2seq)
        check_bytes(folder, char_lm)
        check_other_programs(folder, char_lm, jazz, seq2seq)
    report("every program says what it does, and goes on after a signal")


if __name__ == "__main__":
    main()
