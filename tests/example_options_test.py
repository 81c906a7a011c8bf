#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example programs as one meets them: what --help shows, options without effect, runs that are not there, Ctrl-C in training.

usage: tests/example_options_test.py CHAR_LM JAZZ SEQ2SEQ
"""
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

LONG = "1000000000"
failures = []


def check(right, what):
    if not right:
        failures.append(what)


def run(folder, *command):
    """(exit code, standard output, standard error)"""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=250)
    return done.returncode, done.stdout, done.stderr


def check_refused(folder, code, message, *command):
    got, _, error = run(folder, *command)
    check(got == code and message in error, f"{command[1:]}: {got}, {error}")


def check_ctrl_c(folder, program, *options):
    """Ctrl-C ends a run that would take days, and --resume goes on where it was."""
    name = Path(program).name
    # A shell that starts the tests in the background has them ignore Ctrl-C, and what they start too.
    process = subprocess.Popen([program, *options, "--updates", LONG], cwd=folder, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    for line in process.stdout:
        if " parameters" in line:  # the last line before the first update
            break
    try:
        process.wait(timeout=2)  # some updates
    except subprocess.TimeoutExpired:
        pass
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=200)
    found = re.search(r"stopped after update (\d+) of 1000000000, which is saved in (\S+); the same command with "
                      "--resume goes on", error)
    check(process.returncode == 130 and found, f"{name}: Ctrl-C: {process.returncode}, {error}")
    if not found:
        return
    check((Path(folder) / found[2]).exists(), f"{name}: {found[2]} is not there")
    if name == "jazz":  # its learning rate depends on --updates: that run goes on to the end only
        return
    code, out, error = run(folder, program, *options, "--updates", str(int(found[1]) + 1), "--resume")
    check(code == 0 and f"going on after update {found[1]}" in out, f"{name}: --resume: {code}, {out}, {error}")


def main():
    char_lm, jazz, seq2seq = (str(Path(program).resolve()) for program in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        _, dates, _ = run(folder, seq2seq, "--help")
        _, translate, _ = run(folder, seq2seq, "translate", "--help")
        check("--updates N=3000 " in dates and "--digits" in dates, dates)
        check("--updates N=1200 " in translate and "--digits" not in translate, translate)
        for program in (char_lm, jazz):
            check_refused(folder, 2, "--lr has no effect together with --generate-only, which trains nothing; leave it out",
                          program, "--generate-only", "--lr", "0.1")
            check_refused(folder, 1, "--generate-only: there is no nowhere/", program, "--generate-only", "--out", "nowhere")
        check_refused(folder, 2, "--top-k has no effect together with --gradient-picture, which does nothing else",
                      char_lm, "--gradient-picture", "x.svg", "--top-k", "3")
        check_refused(folder, 2, "--seed has no effect together with --translate", seq2seq, "--translate", "x", "--seed", "1")
        check_refused(folder, 1, "--out: there is no folder nowhere; train first", seq2seq, "--translate", "x", "--out",
                      "nowhere")
        for program in (char_lm, jazz, seq2seq):
            check_refused(folder, 1, "--resume: there is no nowhere/", program, "--resume", "--out", "nowhere")
        check(not (Path(folder) / "nowhere").exists(), "a folder was made where nothing was written")
        check_ctrl_c(folder, char_lm, "--hidden", "8", "--validate-every", LONG, "--count", "0")
        check_ctrl_c(folder, jazz, "--hidden", "8", "--evaluate-every", LONG)
        check_ctrl_c(folder, seq2seq, "add", "--validate-every", LONG)
    print("\n".join(failures) or "every program says what it does, and goes on after Ctrl-C")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
