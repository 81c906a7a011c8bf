#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The programs of examples/structures as one meets them: files that they refuse to write, damaged or other images,
--resume.

usage: tests/examples/example_structures_test.py GRID_LSTM MD_LSTM TREE_LSTM
"""
import json
import struct
import sys
import tempfile
from pathlib import Path

from programs import check, check_refused, report, run

LONG = "1000000000"


def write_images(folder, count, size, first=0, pixels=None):
    """Images of `size` x `size` pixels with labels, in the format of MNIST."""
    folder.mkdir()
    pixels = bytes((first + 7 * i) % 256 for i in range(count * size * size)) if pixels is None else pixels
    (folder / "images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, count, size, size) + pixels)
    (folder / "labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + bytes(i % 10 for i in range(count)))


def check_images(folder, md_lstm):
    small = ("--hidden", "2", "--updates", "1")
    write_images(Path(folder) / "seven", 7, 8)
    check_refused(folder, 1, "expected at least 8 square images", md_lstm, "--data", "seven")
    write_images(Path(folder) / "huge", 512, 1 << 31, pixels=b"")
    check_refused(folder, 1, "has 0 bytes behind its header, expected 1099511627776", md_lstm, "--data",
                  "huge")
    check_refused(folder, 1, "--data: there is no folder absent", md_lstm, "--data", "absent", "--out", "new")
    write_images(Path(folder) / "wide", 8, 101)
    check_refused(folder, 2, "an image has 101 x 101 blocks, a picture has at most 10000", md_lstm, "--data", "wide",
                  "--block", "1", "--picture", "wide.svg", "--updates", LONG)
    # 40 x 40 cells: six neurons are as many as fit.
    write_images(Path(folder) / "fits", 8, 40)
    code, _, error = run(folder, md_lstm, "--data", "fits", "--block", "1", "--picture", "fits.svg", *small)
    picture = (Path(folder) / "fits.svg").read_text() if code == 0 else ""
    check(picture.count('fill="none"') == 6, f"40 x 40 cells: {code}, {error}, {picture.count('<rect')}")
    # As many images of the same size, with other pixels.
    write_images(Path(folder) / "one", 16, 8)
    write_images(Path(folder) / "other", 16, 8, first=1)
    code, _, error = run(folder, md_lstm, "--data", "one", "--out", "data", *small)
    check(code == 0, f"--data one: {code}, {error}")
    resumed = ("--out", "data", "--hidden", "2", "--updates", "2", "--resume")
    check_refused(folder, 1, "was trained on other data", md_lstm, "--data", "other", *resumed)
    code, out, error = run(folder, md_lstm, "--data", "one", *resumed)
    check(code == 0 and "going on after update 1" in out, f"--resume: {code}, {out}, {error}")


def check_files(folder, grid_lstm, md_lstm, tree_lstm):
    """Files of the run that another option names, and what cannot be written: said before anything is trained."""
    for program in (grid_lstm, md_lstm):
        for file in ("last", "best"):
            check_refused(folder, 2, f"new/{file}.safetensors", program, "--out", "new", "--json",
                          f"new/{file}.safetensors",
                          "--updates", LONG)
        check_refused(folder, 1, "--resume: there is no new/last.safetensors", program, "--out", "new", "--resume")
    check_refused(folder, 2, "new/x.svg", md_lstm, "--out", "new", "--json", "new/x.svg", "--picture", "new/x.svg")
    check_refused(folder, 2, "--peepholes goes with --variant standard or mean, not with stable", md_lstm, "--out",
                  "new", "--variant", "stable",
                  "--peepholes")
    check(not (Path(folder) / "new").exists(), "a folder was made where nothing was written")
    (Path(folder) / "tree/tree.svg").mkdir(parents=True)
    check_refused(folder, 1, "tree/tree.svg: this is a folder", tree_lstm, "--out", "tree", "--updates", LONG)


def check_growing_lengths(folder, grid_lstm):
    """A run that stops and goes on makes the same updates as one that does not stop."""
    options = ("--task", "add", "--length", "3", "--lengths", "growing", "--hidden", "16", "--depth", "2", "--lr", "0.01",
               "--validate-every", "100")
    for out, updates, *more in ("whole", "900"), ("parts", "600"), ("parts", "900", "--resume"):
        code, text, error = run(folder, grid_lstm, *options, "--out", out, "--updates", updates, *more)
        check(code == 0 and "of length" in text, f"growing lengths: {code}, {text}, {error}")
        check(updates == "600" or "of length 2" in text, f"the length of samples did not grow: {text}")
    whole, parts = ((Path(folder) / out / "last.safetensors").read_bytes() for out in ("whole", "parts"))
    check(whole == parts, "growing lengths: a run that went on has other weights than one that did not stop")


def check_tree(folder, tree_lstm):
    code, out, error = run(folder, tree_lstm, "--quick", "--updates", "2", "--hidden", "4", "--json", "tree.json")
    check(code == 0 and "whose values it did not learn from" in out, f"tree_lstm: {code}, {out}, {error}")
    figures = json.loads((Path(folder) / "tree.json").read_text()) if code == 0 else {"accuracy": []}
    check(len(figures["accuracy"]) == 4 and 0 <= figures["parts"] <= 1, f"tree_lstm: {figures}")


def main():
    grid_lstm, md_lstm, tree_lstm = (str(Path(program).resolve()) for program in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        check_files(folder, grid_lstm, md_lstm, tree_lstm)
        check_images(folder, md_lstm)
        check_growing_lengths(folder, grid_lstm)
        check_tree(folder, tree_lstm)
    report("every program refuses what it cannot do before it trains")


if __name__ == "__main__":
    main()
