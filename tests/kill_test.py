#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ends short trainings at the worst moments: kills them at 50 random times; and at each call that changes the file system,
kills one training and makes the call fail in another. (For the programs after the first one, skips the inner writes of a
file.) Afterwards the folder must hold complete checkpoints or none. The resumed run must end with the same files, byte for
byte, as an undisturbed run.

usage: tests/kill_test.py FAULT_SHIM CHAR_LM JAZZ SEQ2SEQ       FAULT_SHIM: tests/examples/fault_shim.cpp as a shared library
"""
import errno
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

SEED = 11
KILLS = 50
failures = []


def check(right, what):
    if not right:
        failures.append(what)


class Training:
    """A program with the options of a training of some milliseconds, and the files that an undisturbed run leaves."""
    numbers = itertools.count()

    def __init__(self, folder, shim, program, *options):
        self.folder, self.shim, self.program, self.options = Path(folder), shim, program, options
        self.name = " ".join([Path(program).name, *options[:1]])
        begun = time.monotonic()
        out = self.new_folder()
        code, error = self.run(out)
        self.seconds = time.monotonic() - begun
        check(code == 0, f"{self.name}: {code}, {error}")
        self.expected = self.files(out)
        check("last.safetensors" in self.expected or "checkpoint.safetensors" in self.expected, f"{self.name}: no checkpoint")

    def command(self, out, resume=False):
        return [self.program, *self.options, "--out", out, "--json", f"{out}.json", *(["--resume"] if resume else [])]

    @contextmanager
    def started(self, out, resume=False, **fault):
        """A run. It ends with the block, whatever happens there."""
        environment = {"PATH": ""}  # no synthesizer
        if fault:
            environment.update({"LD_PRELOAD": self.shim}, **fault)
        with subprocess.Popen(self.command(out, resume), cwd=self.folder, env=environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, out, resume=False, **fault):
        with self.started(out, resume, **fault) as process:
            error = process.communicate(timeout=200)[1]
        return process.returncode, error

    def files(self, out):
        """The files that a run leaves, by name, without run.lock, which a killed run leaves too."""
        found = (self.folder / out).glob("**/*")
        return {str(path.relative_to(self.folder / out)): path.read_bytes()
                for path in found if path.is_file() and path.name != "run.lock"}

    def new_folder(self):
        return f"run{next(self.numbers)}"

    def calls(self):
        """The calls that change the file system, in order: "open PATH", ..."""
        log = self.folder / "calls"
        log.unlink(missing_ok=True)
        code, error = self.run(self.new_folder(), FAULT_LOG=str(log))
        check(code == 0, f"{self.name}, watched: {code}, {error}")
        return log.read_text().splitlines()

    def check_whole(self, out, what):
        """Checks that every file with its final name is complete; a checkpoint has the length that its header states."""
        for name, data in self.files(out).items():
            if not name.endswith(".safetensors"):
                continue
            size = int.from_bytes(data[:8], "little")
            header = json.loads(data[8:8 + size])
            end = max(entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__")
            check(len(data) == 8 + size + end, f"{what}: {name} has {len(data)} bytes, expected {8 + size + end}")
        figures = self.folder / f"{out}.json"
        if figures.exists():
            json.loads(figures.read_text())

    def check_goes_on(self, out, what):
        self.check_whole(out, what)
        saved = any((self.folder / out / name).exists() for name in ("last.safetensors", "checkpoint.safetensors"))
        code, error = self.run(out, resume=saved)
        check(code == 0, f"{what}, then {'--resume' if saved else 'anew'}: {code}, {error}")
        found = self.files(out)
        different = sorted(name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name))
        check(not different, f"{what}, then {'--resume' if saved else 'anew'}: not as it should be: {different}")

    def check_killed_after(self, seconds):
        out = self.new_folder()
        with self.started(out):
            time.sleep(seconds)
        self.check_goes_on(out, f"{self.name}, killed after {seconds:.3f} s")

    def check_fault(self, at, call, in_checkpoint, fault, on=""):
        out = self.new_folder()
        code, error = self.run(out, FAULT_AT=str(at), FAULT=str(fault), FAULT_ON=on)
        what = f"{self.name}, {fault}{' from' if on else ''} at call {at}, {call}"
        if fault in ("kill", "torn"):
            check(code == -9, f"{what}: {code}, {error}")
        elif code == 0 or (in_checkpoint and not on):  # the next save repeats it
            check(code == 0 and self.files(out) == self.expected, f"{what}: not all is saved: {code}, {error}")
        else:
            check(code == 1 and os.strerror(fault) in error, f"{what}: {code}, {error}")
        self.check_goes_on(out, what)


def numbered(calls):
    """Yields (number, call, writes a checkpoint, is not between other writes of the same file)."""
    opened = ""
    for i, call in enumerate(calls):
        opened = call if call.startswith(("open", "fopen")) else opened
        amidst = 0 < i < len(calls) - 1 and calls[i - 1] == call == calls[i + 1] == "write "
        yield i + 1, call, ".safetensors" in opened and "run.lock" not in call, not amidst


def main():
    shim, char_lm, jazz, seq2seq = (str(Path(path).resolve()) for path in sys.argv[1:])
    chance = random.Random(SEED)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        pairs = Path(folder) / "pairs.tsv"
        pairs.write_text("".join(f"{i:03}\t{i % 7}\n" for i in range(12)))
        tune = Training(folder, shim, jazz, "--hidden", "2", "--embedding", "2", "--updates", "1", "--choruses", "1", "--takes",
                        "1", "--seed", "3")
        music = Path(folder) / "music"
        music.mkdir()
        (music / "tune.mid").write_bytes(tune.expected["jazz.mid"])
        trainings = [
            Training(folder, shim, char_lm, "--hidden", "4", "--updates", "4", "--validate-every", "2", "--streams", "2",
                     "--steps", "4", "--count", "1"),
            Training(folder, shim, jazz, "--data", "music", "--hidden", "4", "--embedding", "4", "--updates", "6",
                     "--evaluate-every", "3", "--streams", "2", "--steps", "4", "--takes", "1"),
            Training(folder, shim, seq2seq, "translate", "--data", "pairs.tsv", "--hidden", "4", "--embedding", "2", "--updates",
                     "4", "--validate-every", "2", "--source-unit", "character"),
            Training(folder, shim, seq2seq, "add", "--hidden", "4", "--updates", "4", "--validate-every", "2"),
        ]
        work, calls = [], 0
        for training in trainings:
            every = training is trainings[0]
            for at, call, in_checkpoint, edge in numbered(training.calls()):
                if not every and not edge:
                    continue
                calls += 1
                hit = (training.check_fault, at, call, in_checkpoint)
                work += [(*hit, "kill"), (*hit, errno.ENOSPC)]
                if edge:
                    work.append((*hit, "torn"))
                if edge and at % 4 == 0:  # a disk that stays full
                    work.append((*hit, errno.ENOSPC, "1"))
        for i in range(KILLS):
            training = trainings[i % len(trainings)]
            work.append((training.check_killed_after, chance.uniform(0, 1.2 * training.seconds)))
        for one, done in [(one, pool.submit(*one)) for one in work]:
            try:
                done.result()
            except Exception as error:  # the others are checked all the same
                failures.append(f"{one[0].__name__}{one[1:]}: {type(error).__name__}: {error}")
    print("\n".join(failures) or f"{KILLS} kills at random times (seed {SEED}), {calls} calls killed and failed: "
          f"nothing lost, in {time.monotonic() - begun:.0f} s")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "none":
        print("SKIPPED: a sanitizer's runtime must come before a preloaded library")
        sys.exit(77)
    main()
