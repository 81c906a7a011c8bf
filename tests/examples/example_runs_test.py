#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the example programs with a second run in the same folder, a full disk, closed streams, one file under two names, or
their own output as input. No run may lose its learned weights or mix the files of two runs.

usage: tests/examples/example_runs_test.py CHAR_LM JAZZ SEQ2SEQ SANITIZERS      SANITIZERS: that they were built with, or none
"""
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from programs import check, check_refused, failures, report, run

LONG = "1000000000"
MEMORY = 4 << 30  # bytes
SMALL = ("--hidden", "4", "--streams", "2", "--steps", "4", "--updates", "4", "--validate-every", "2", "--count", "1")


@contextmanager
def started(folder, program, *options, **more):
    """Starts a run that would take days, and goes on after it has made its model. The run ends with the block."""
    with subprocess.Popen([program, *options], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          **more) as process:
        try:
            for line in process.stdout:
                if " parameters" in line:
                    break
            yield process
        finally:
            process.kill()


def checkpoints(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.safetensors")}


def check_lock(folder, char_lm, jazz, seq2seq):
    """A second run in one folder is refused and names the first one; a killed run does not block the folder."""
    for program, options in ((char_lm, ("--validate-every", LONG)), (jazz, ("--evaluate-every", LONG)),
                             (seq2seq, ("add", "--validate-every", LONG))):
        with started(folder, program, "--hidden", "4", "--updates", LONG, "--out", "one", *options) as first:
            check_refused(folder, 1, f"--out: one/ is in use by another run, process {first.pid}; wait until that ends, or "
                          "name another folder by --out", program, *options[:-2], "--out", "one/")
        check((Path(folder) / "one/run.lock").exists(), "the killed run should have left its lock file")
    # A folder that a run writes below its --out has a lock, too.
    letters = ("reverse", "--hidden", "4", "--embedding", "2", "--pairs", "100", "--longest", "2", "--validate-every", LONG)
    with started(folder, seq2seq, *letters, "--updates", LONG, "--out", "both") as first:
        check_refused(folder, 1, f"--out: both/attention is in use by another run, process {first.pid}; ", seq2seq, "add",
                      "--updates", "1", "--out", "both/attention")
    code, _, error = run(folder, char_lm, *SMALL, "--out", "one")
    check(code == 0 and not (Path(folder) / "one/run.lock").exists(), f"after a kill: {code}, {error}")


def check_play_beside(folder, jazz):
    """While a run trains, its checkpoint plays in another folder."""
    small = ("--hidden", "4", "--embedding", "4")
    with started(folder, jazz, *small, "--updates", LONG, "--evaluate-every", "1", "--out", "runs") as first:
        checkpoint = Path(folder) / "runs/checkpoint.safetensors"
        for _ in range(600):
            if checkpoint.exists():
                break
            time.sleep(0.1)
        check_refused(folder, 1, f"--out: runs is in use by another run, process {first.pid}; wait until that ends, or give "
                      "--model runs/checkpoint.safetensors and another folder for the tune by --out", jazz, "--generate-only",
                      "--out", "runs")
        code, _, error = run(folder, jazz, "--generate-only", "--model", "runs/checkpoint.safetensors", "--out", "beside",
                             "--takes", "1", "--choruses", "1")
        check(code == 0 and (Path(folder) / "beside/jazz.mid").exists(), f"beside a run: {code}, {error}")
    check_refused(folder, 2, "--model has no effect without --generate-only; leave --model out", jazz, "--model", "x")


def check_signals(folder, char_lm):
    """A second signal ends a long update; a signal that the caller ignores stays ignored."""
    (Path(folder) / "text").write_text("some text of no meaning\n" * 3000)
    wide = ("--data", "text", "--hidden", "1024", "--streams", "8", "--out", "slow", "--count", "0")
    code, _, error = run(folder, char_lm, *wide, "--steps", "20", "--updates", "1", "--json", "slow.json")
    check(code == 0, f"one update: {code}, {error}")
    seconds = json.loads((Path(folder) / "slow.json").read_text())["train_seconds"]
    steps = max(300, int(20 * 15 / seconds))  # an update of 15 s or more
    with started(folder, char_lm, *wide, "--steps", str(steps)) as slow:
        slow.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        slow.send_signal(signal.SIGTERM)
        _, error = slow.communicate(timeout=200)
    check(slow.returncode == -signal.SIGTERM and not error, f"two signals: {slow.returncode}, {error}")
    with started(folder, char_lm, "--hidden", "4", "--updates", LONG, "--validate-every", LONG, "--out", "kept",
                 preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as kept:
        kept.send_signal(signal.SIGHUP)
        time.sleep(1)
        check(kept.poll() is None, "nohup: SIGHUP ended the run")
        shutil.rmtree(Path(folder) / "kept")
        kept.send_signal(signal.SIGTERM)
        _, error = kept.communicate(timeout=200)
    check(kept.returncode == 1 and re.search(r"the run was stopped; update \d+ could not be saved", error),
          f"a folder that is gone: {kept.returncode}, {error}")


def check_streams(folder, char_lm):
    """Closed or full streams do not end a training; if results cannot be printed, the run ends with an error."""
    code, _, error = run(folder, char_lm, *SMALL, "--out", "plain")
    check(code == 0, f"{code}, {error}")
    expected = checkpoints(Path(folder) / "plain")
    for streams, expected_code in (("2>/dev/full", 0), ("2>&-", 0), (">/dev/full", 1), (">&-", 1), ("<&- >&- 2>&-", 1),
                                   (">/dev/full 2>/dev/full", 1), ("<&-", 0)):
        shutil.rmtree(Path(folder) / "out", ignore_errors=True)
        code, _, error = run(folder, "sh", "-c", f'"$@" {streams}', "sh", char_lm, *SMALL, "--json", "out/x.json")
        check(code == expected_code, f"{streams}: {code}, {error}")
        check(checkpoints(Path(folder) / "out/char_lm") == expected, f"{streams}: other checkpoints")
        check("best_update" in json.loads((Path(folder) / "out/x.json").read_text()), f"{streams}: no figures")
        code, _, error = run(folder, "sh", "-c", f'"$@" {streams}', "sh", char_lm, "--data", "absent")
        check(code == 1, f"{streams}, an error: {code}, {error}")
    shutil.rmtree(Path(folder) / "out")
    with subprocess.Popen([char_lm, *SMALL], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # as `| head` does
        error = process.stderr.read()
    check(process.returncode == 1 and "standard output cannot be written" in error, f"| head: {process.returncode}, {error}")
    check(checkpoints(Path(folder) / "out/char_lm") == expected, "| head: other checkpoints")


def check_failed_save(folder, char_lm, jazz, seq2seq):
    """A failed save is a warning; the run still ends with its results, exits with 1 and names the unsaved files."""
    for program, name, options in ((char_lm, "last", SMALL), (seq2seq, "last", ("add", "--updates", "4", "--validate-every", "2")),
                                   (jazz, "checkpoint", ("--hidden", "4", "--updates", "4", "--evaluate-every", "2"))):
        out = Path(folder) / "failing"
        shutil.rmtree(out, ignore_errors=True)
        (out / f"{name}.safetensors.partial").mkdir(parents=True)  # which no file can be made of
        code, printed, error = run(folder, program, *options, "--out", "failing", "--json", "failing.json")
        check(code == 1 and "warning: update 2 is not saved: " in error and
              f"update 4 could not be saved, failing/{name}.safetensors holds no update of this run" in error,
              f"{program}: saves that fail: {code}, {error}")
        check(printed and json.loads((Path(folder) / "failing.json").read_text()), f"{program}: no results")


def check_paths(folder, char_lm, jazz, seq2seq):
    """Empty paths, and one file under two names, are refused before any work; existing files stay."""
    folder = Path(folder)
    for program, option in ((char_lm, "--data"), (jazz, "--data"), (seq2seq, "--data"), (seq2seq, "--test"), (seq2seq, "--model"),
                            (char_lm, "--out"), (jazz, "--json"), (char_lm, "--activations-text")):
        more = ("--activations", "a.html") if option == "--activations-text" else ()
        check_refused(folder, 2, f"{option}: the value is empty; give one, or leave the option out", program, option, "", *more)
    (folder / "data.txt").write_text("abc " * 100)
    os.symlink("data.txt", folder / "link.txt")
    os.link(folder / "data.txt", folder / "hard.txt")
    for name in ("data.txt", "./link.txt", "hard.txt", str(folder / "x/../data.txt")):
        check_refused(folder, 2, f"--json and --data name the same file, {name}; give another name to one of them",
                      char_lm, "--data", "data.txt", "--json", name)
    check_refused(folder, 2, "--json and --data name a file and its temporary one", char_lm, "--data", "t.partial", "--json", "t")
    for program, name in ((char_lm, "last.safetensors"), (char_lm, "run.lock"), (jazz, "checkpoint.safetensors"),
                          (jazz, "jazz.svg"), (seq2seq, "attention.svg"), (seq2seq, "best.safetensors")):
        code, _, error = run(folder, program, "--out", "o", "--json", f"o/../o/{name}")
        check(code == 2 and "name the same file, " in error and "--json" in error, f"{program}, {name}: {code}, {error}")
    check_refused(folder, 2, "--activations and --json name the same file", char_lm, "--activations", "a.svg", "--json", "a.svg")
    check_refused(folder, 2, "--json and --model name the same file", seq2seq, "--translate", "x", "--model", "m", "--json", "m")
    check(not (folder / "o").exists(), "a folder was made before anything was checked")
    check((folder / "data.txt").read_text() == "abc " * 100, "the data is overwritten")


def check_own_output(folder, jazz):
    """jazz does not learn from a tune that it wrote earlier."""
    home = Path(folder) / "music"
    home.mkdir()
    quick = ("--hidden", "4", "--embedding", "4", "--updates", "2", "--evaluate-every", "1", "--choruses", "1", "--takes", "1")
    code, _, error = run(home, jazz, *quick)
    check(code == 0, error)
    own = home / "out/jazz"
    check_refused(home, 1, "hold a *.mid or *.midi file beside 1 MIDI files in out/jazz, where this program writes", jazz,
                  "--data", ".")
    shutil.copy(own / "jazz.mid", home / "tune.mid")
    printed = []
    for more in ((), (), ("--resume",)):
        code, out, error = run(home, jazz, *quick, "--data", ".", *more)
        check(code == 0 and "left out: 1 MIDI files in out/jazz, where this program writes" in out, f"{code}, {out}, {error}")
        printed.append(re.search(r".*tunes, \d+ notes.*", out)[0])
    check(len(set(printed)) == 1, f"the music differs: {printed}")
    code, out, error = run(home / "out", jazz, *quick, "--data", "jazz", "--out", ".")
    check(code == 0 and "left out" not in out, f"data below --out: {code}, {out}, {error}")
    # Nor from what a run with another --out wrote.
    code, out, error = run(home, jazz, *quick, "--data", ".", "--out", "elsewhere")
    check(code == 0 and "left out: ./out/jazz/jazz.mid, which this program wrote\n" in out, f"{code}, {out}, {error}")
    check(printed[0] in out, f"the music differs: {out}")
    (home / "tune.mid").write_bytes(b"damaged")
    code, _, error = run(home, jazz, *quick, "--data", ".")
    check(code == 1 and "none of its 1 MIDI files can be learned from" in error and
          "\n  ./elsewhere/jazz.mid, which this program wrote" in error, f"{code}, {error}")
    check_refused(home, 2, "--out and --data are the same folder, out/jazz", jazz, "--data", "out/jazz")
    check_refused(home, 2, "--json: x.mid would lie among the MIDI files of --data", jazz, "--data", ".", "--json", "x.mid")


def check_large(folder, char_lm, seq2seq):
    """The message for a file that is too large names its size and the limit."""
    with open(Path(folder) / "large", "wb") as file:
        file.truncate(1 << 36)
    for command in ((char_lm,), (seq2seq, "translate")):
        check_refused(folder, 1, f"large: has {1 << 36} bytes, but the limit is ", *command, "--data", "large")


def check_best(folder, char_lm):
    """The best weights of another run are not used for this run."""
    folder = Path(folder)
    code, _, error = run(folder, char_lm, *SMALL, "--out", "own")
    check(code == 0, error)
    code, _, error = run(folder, char_lm, *SMALL, "--seed", "5", "--out", "other")
    check(code == 0, error)
    _, right, _ = run(folder, char_lm, "--generate-only", "--out", "own")
    best = (folder / "own/best.safetensors").read_bytes()
    for damage in (lambda path: shutil.copy(folder / "other/best.safetensors", path), lambda path: path.unlink()):
        damage(folder / "own/best.safetensors")
        code, out, error = run(folder, char_lm, "--generate-only", "--out", "own")
        check(code == 0 and out == right, f"another best: {code}, {out}, {error}")
    shutil.copy(folder / "own/last.safetensors", folder / "whole")
    (folder / "own/last.safetensors").write_bytes(b"damaged")
    (folder / "own/best.safetensors").write_bytes(best)
    code, out, error = run(folder, char_lm, "--generate-only", "--out", "own")
    check(code == 0 and out == right and "is used without comparing the two" in error, f"last is damaged: {code}, {out}, {error}")
    shutil.copy(folder / "whole", folder / "own/last.safetensors")
    check_refused(folder, 1, "--generate-only: there is no none/best.safetensors", char_lm, "--generate-only", "--out", "none")
    shutil.copy(folder / "other/best.safetensors", folder / "own")
    code, _, error = run(folder, char_lm, "--generate-only", "--out", "own")
    check("warning: own/best.safetensors does not belong to the run in own/last.safetensors" in error, error)
    code, _, error = run(folder, char_lm, *SMALL, "--out", "own", "--resume")
    check(code == 0 and (folder / "own/best.safetensors").read_bytes() == best, f"--resume: {code}, {error}")


def check_adder(folder, seq2seq):
    """The adder's weights of a finished training stay where a longer one goes on and is stopped."""
    best = Path(folder) / "add/best.safetensors"
    code, _, error = run(folder, seq2seq, "add", "--updates", "4", "--validate-every", "2", "--out", "add")
    check(code == 0, error)
    finished = best.read_bytes()
    with started(folder, seq2seq, "add", "--updates", LONG, "--validate-every", "5", "--out", "add", "--resume") as longer:
        time.sleep(1)
        longer.send_signal(signal.SIGTERM)
        _, error = longer.communicate(timeout=200)
    check(longer.returncode == -signal.SIGTERM, f"stopped: {longer.returncode}, {error}")
    check(best.exists() and best.read_bytes() == finished, "the weights of the finished training are gone")
    code, out, error = run(folder, seq2seq, "--translate", "101+1", "--out", "add")
    check(code == 0 and "warning" not in error, f"--translate: {code}, {out}, {error}")


def little_memory():
    """Where a machine gives more memory than it has, a huge model would fill it before it fails."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def check_numbers(folder, char_lm, jazz, seq2seq):
    """Numbers outside of their range, and text that is not a number, are refused with a message, never with a crash."""
    most = str((1 << 63) - 1)
    for text in ("-1", "0x10", "1e3", "nan", "", " 4", most + "0", "4.0", "+4"):
        for program, option in ((char_lm, "--hidden"), (jazz, "--streams"), (seq2seq, "--batch")):
            code, _, error = run(folder, program, option, text)
            check(code == 2 and f"{option}: '{text}' is not a whole number from 1 to " in error, f"{option} {text}: {code}, {error}")
    for text in ("nan", "inf", "-inf", "-1", "1e999", "0x1p3", "", "1,5"):
        for program in (char_lm, jazz, seq2seq):
            code, _, error = run(folder, program, "--lr", text)
            check(code == 2 and f"--lr: '{text}' is not a number " in error, f"--lr {text}: {code}, {error}")
    with started(folder, seq2seq, "translate", "--updates", most, "--decay", "1", "--validate-every", most, "--out",
                 "most") as stopped:
        stopped.send_signal(signal.SIGTERM)
        _, error = stopped.communicate(timeout=200)
    check(stopped.returncode == -signal.SIGTERM and f" of {most}, which is saved" in error, f"{stopped.returncode}, {error}")


def check_sizes(folder, char_lm, seq2seq):
    """Sizes that no memory holds are refused with one line."""
    small = ("--hidden", "4", "--updates", "2")
    for command in ((char_lm, *small, "--steps", str(1 << 20), "--streams", str(1 << 20)),
                    (seq2seq, "add", *small, "--batch", str(1 << 20), "--digits", "400"),
                    (char_lm, *small, "--hidden", "65536", "--layers", "1000")):
        code, _, error = run(folder, *command, preexec_fn=little_memory)
        check(code in (1, 2) and error.count("\n") == 1, f"{command[1:]}: {code}, {error}")


def main():
    char_lm, jazz, seq2seq = (str(Path(program).resolve()) for program in sys.argv[1:4])
    sizes = [(check_sizes, char_lm, seq2seq)]
    if sys.argv[4] != "none":
        print("SKIPPED: sizes that no memory holds: sanitizers need more memory than the test allows")
        sizes = []
    with tempfile.TemporaryDirectory() as top:
        for test, *programs in ((check_lock, char_lm, jazz, seq2seq), (check_play_beside, jazz), (check_signals, char_lm), (check_streams, char_lm),
                                (check_failed_save, char_lm, jazz, seq2seq), (check_paths, char_lm, jazz, seq2seq),
                                (check_own_output, jazz), (check_large, char_lm, seq2seq), (check_best, char_lm),
                                (check_adder, seq2seq), (check_numbers, char_lm, jazz, seq2seq), *sizes):
            folder = Path(top) / f"a folder of {test.__name__}, ümlaut"
            folder.mkdir()
            before = len(failures)
            try:
                test(str(folder), *programs)
            except Exception as error:  # the other tests run all the same
                failures.append(f"{type(error).__name__}: {error}")
            failures[before:] = [f"{test.__name__}: {failure}" for failure in failures[before:]]
    report("no run lost or mixed anything; all errors were reported")


if __name__ == "__main__":
    main()
