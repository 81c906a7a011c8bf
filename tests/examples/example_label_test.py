#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""label as one meets it: files and folders, --test, --resume, equal runs, and what it refuses.

usage: tests/examples/example_label_test.py LABEL
"""
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import check, check_refused, report, run

TINY = ("--embedding", "8", "--hidden", "6")
SMALL = (*TINY, "--epochs", "2")
TEXTS = "".join(f"this is {'good' if i % 2 else 'bad'} number {i}\t{i % 2}\n" for i in range(60))
CONLLU = ("# text = It's so\n1-2\tIt's\t_\t_\t_\t_\t_\t_\t_\t_\n1\tIt\t_\tPRON\t_\t_\t_\t_\t_\t_\n"
          "2\t's\t_\tAUX\t_\t_\t_\t_\t_\t_\n3\tso\t_\tADV\t_\t_\t_\t_\t_\t_\n\n")


def weights(folder, name):
    return (folder / name / "last.safetensors").read_bytes()


def check_runs(folder, label):
    for task, more, picture, names in (
            ("sentiment", ("--pool", "max", "--characters", "4"), "words.svg", ("naive_bayes",)),
            ("tags", ("--crf",), "confusion.svg", ("most_frequent_tag",))):
        options = (label, task, "--sentences", "100", *TINY, *more)
        code, out, error = run(folder, *options, "--epochs", "2", "--out", task, "--json", f"{task}.json")
        check(code == 0 and "90 sentences train, 10 test" in out, f"{task}: {code}, {out}, {error}")
        figures = json.loads((folder / f"{task}.json").read_text()) if code == 0 else {}
        for name in ("accuracy", "majority", *names):
            check(0 <= figures.get(name, -1) <= 1, f"{task}: {name} in {figures}")
        check(figures.get("train_cpu_seconds", 0) > 0, f"{task}: {figures}")
        check((folder / task / picture).read_text().startswith("<svg"), f"{task}: no picture")
        # The same bits by two threads, and by a run that stops and goes on.
        code, again, _ = run(folder, *options, "--epochs", "2", "--out", task + "2", "--threads", "2")
        check(code == 0 and weights(folder, task) == weights(folder, task + "2"), f"{task}: two threads differ")
        parts = task + "_parts"
        run(folder, *options, "--out", parts, "--epochs", "1")
        code, out, error = run(folder, *options, "--epochs", "2", "--out", parts, "--resume")
        check(code == 0 and "going on after update 3" in out, f"--resume: {code}, {out}, {error}")
        check(weights(folder, task) == weights(folder, parts), f"{task}: a run that went on differs")
        check_refused(folder, 1, "other data", label, task, "--sentences", "100", *SMALL, *more, "--out", parts,
                      "--resume", "--seed", "7")


def check_files(folder, label):
    (folder / "texts").mkdir()
    (folder / "texts/one.txt").write_text(TEXTS)
    (folder / "texts/two.tsv").write_bytes(b"\xef\xbb\xbfa good one\t1\r\n  \t0\r\nnever seen\t2\r\n")
    (folder / "texts/notes.txt").write_text("About\nthese texts\n")
    code, out, error = run(folder, label, "--data", "texts", *SMALL)
    check(code == 0 and "56 sentences train, 6 test" in out and "notes.txt: left out" in out
          and "1 lines without words left out" in out, f"--data texts: {code}, {out}, {error}")
    code, out, error = run(folder, label, "--data", "texts", "--test", "texts/two.tsv", *SMALL)
    check(code == 0 and "60 sentences train, 2 test" in out and "it is the test" in out
          and "1 labels of the test do not occur" in out, f"--test in the folder: {code}, {out}, {error}")
    (folder / "train.tsv").write_text("It\tPRON\n's\tAUX\nso\tADV\n\n" * 30)
    (folder / "dev.conllu").write_text(CONLLU)
    code, out, error = run(folder, label, "tags", "--data", "train.tsv", "--test", "dev.conllu", "--characters", "4", *SMALL)
    check(code == 0 and "right on 3 words" in out and "1 multiword tokens and empty nodes left out" in out,
          f"tags: {code}, {out}, {error}")

    bad = {"no_tab.txt": (b"a\t1\nb\n", "line 2: there is no TAB"), "odd.txt": (b"caf\xe9\t1\n", "odd.txt, line 1"),
           "empty.txt": (b"", "empty"), "one.txt": (b"a\t1\n", "give at least two, or a --test")}
    for name, (content, message) in bad.items():
        (folder / name).write_bytes(content)
        check_refused(folder, 1, message, label, "--data", name, *SMALL)
    check_refused(folder, 1, "columns, expected", label, "tags", "--data", "no_tab.txt", *SMALL)
    (folder / "other.txt").write_text("a\tmaybe\n")
    check_refused(folder, 1, "none of its labels occurs in the training", label, "--data", "texts", "--test", "other.txt", *SMALL)
    check_refused(folder, 1, "absent: cannot be opened", label, "--data", "absent", "--out", "new")
    check_refused(folder, 2, "--crf is an option of tags", label, "--crf", "--out", "new")
    check_refused(folder, 2, "--pool is an option of sentiment", label, "tags", "--pool", "max", "--out", "new")
    check_refused(folder, 2, "--characters is 3; give an even number", label, "--characters", "3", "--out", "new")
    check_refused(folder, 2, "new/words.svg", label, "--out", "new", "--json", "new/words.svg")
    check(not (folder / "new").exists(), "a folder was made where nothing was written")


def check_signal(folder, label):
    with subprocess.Popen([label, "--epochs", "100000", "--out", "stopped"], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        for line in process.stdout:
            if line.startswith("update"):
                break
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=200)
    check(process.returncode == -signal.SIGINT and "with --resume goes on" in error, f"Ctrl-C: {error}")


def main(folder, label):
    check_runs(folder, label)
    check_files(folder, label)
    check_signal(folder, label)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), str(Path(sys.argv[1]).resolve()))
    report("label reads what it says, and refuses the rest before it trains")
