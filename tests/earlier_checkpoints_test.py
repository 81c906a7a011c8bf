#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checkpoints that earlier versions of the examples wrote still fit: runs go on from them, and their models are used. The
files in tests/examples/earlier were made with the options below and --updates 3. Who changes the built-in dinosaur names or
the built-in tunes makes char_lm's and jazz's anew.

usage: tests/earlier_checkpoints_test.py CHAR_LM JAZZ SEQ2SEQ
"""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EARLIER = Path(__file__).resolve().parent / "examples" / "earlier"
failures = []


def run(folder, *command):
    """Standard output of a program, which must succeed without a word on standard error."""
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=250)
    if done.returncode != 0 or done.stderr:
        failures.append(f"{command}: {done.returncode}, {done.stderr}")
    return done.stdout


def main():
    char_lm, jazz, seq2seq = (str(Path(program).resolve()) for program in sys.argv[1:])
    small = ("--hidden", "2")
    runs = (
        ("char_lm", "last", (char_lm, *small, "--streams", "2", "--steps", "4", "--validate-every", "2", "--layers", "2",
                             "--dropout", "0.2", "--count", "1", "--updates", "5"), (char_lm, "--generate-only", "--count", "1")),
        ("jazz", "checkpoint", (jazz, *small, "--embedding", "2", "--streams", "2", "--steps", "4", "--evaluate-every", "2",
                                "--takes", "1", "--choruses", "1", "--updates", "5"),
         (jazz, "--generate-only", "--takes", "1", "--choruses", "1")),
        ("seq2seq_dates", "last", (seq2seq, "dates", *small, "--embedding", "2", "--pairs", "20", "--batch", "4",
                                   "--validate-every", "2", "--samples", "1", "--dropout", "0.1", "--layers", "2", "--updates",
                                   "5"), (seq2seq, "dates", "--interactive")),
        ("seq2seq_add", "last", (seq2seq, "add", *small, "--digits", "2", "--batch", "4", "--updates", "5"),
         (seq2seq, "add", "--interactive")),
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, file, resume, use in runs:
            for number, command in enumerate((use, (*resume, "--resume"))):
                out = Path(folder) / f"{name}{number}"
                out.mkdir()
                shutil.copy(EARLIER / f"{name}.safetensors", out / f"{file}.safetensors")
                if command == use and name.startswith("seq2seq"):  # the weights are in the run's checkpoint
                    command = (*command, "--model", str(out / f"{file}.safetensors"))
                printed = run(folder, *command, "--out", str(out))
                if command != use and "--resume" in command and "going on after update 3\n" not in printed:
                    failures.append(f"{command}: {printed}")
    print("\n".join(failures) or "checkpoints of earlier versions fit")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
