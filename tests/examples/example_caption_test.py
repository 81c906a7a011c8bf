#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""caption as one meets it: the same run twice, --resume, lists and images of the user's own, --test, --cnn, and what it
refuses.

usage: tests/examples/example_caption_test.py CAPTION
"""
import json
import struct
import sys
import tempfile
from pathlib import Path

from programs import check, check_refused, report, run

SMALL = ("--hidden", "6", "--embedding", "4", "--batch", "8", "--validate-every", "3")


def write_pgm(path, value, size=16):
    path.write_bytes(b"P5 %d %d 255\n" % (size, size) + bytes([value]) * size * size)


def write_list(folder, count=20, size=16):
    """Images that are dark or bright, with captions of two lengths."""
    folder.mkdir()
    lines = []
    for i in range(count):
        write_pgm(folder / f"{i}.pgm", 40 if i % 2 else 220, size)
        lines.append(f"{i}.pgm\t{'a dark image' if i % 2 else 'bright'}")
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n")
    return lines


def trained(folder, caption, out, *more):
    code, text, error = run(folder, caption, *SMALL, "--out", out, "--json", f"{out}.json", *more)
    check(code == 0, f"{out}: {code}, {text}, {error}")
    figures = Path(folder) / f"{out}.json"
    return text, json.loads(figures.read_text()) if figures.exists() else {}


def check_runs(folder, caption):
    """The same run twice, and one that stops and goes on, have the same weights."""
    for out, updates, *more in (("whole", "6"), ("again", "6"), ("parts", "3"), ("parts", "6", "--resume")):
        trained(folder, caption, out, "--attention", "--scenes", "40", "--updates", updates, *more)
    for sub in ("", "without_attention/"):
        whole, again, parts = ((Path(folder) / out / f"{sub}last.safetensors").read_bytes()
                               for out in ("whole", "again", "parts"))
        check(whole == again, f"{sub}: the same run twice has other weights")
        check(whole == parts, f"{sub}: a run that went on has other weights than one that did not stop")
    picture = (Path(folder) / "whole/captions.svg").read_text()
    check(picture.count("<image") > 6, "the page has no maps of the attention")


def check_own_images(folder, caption):
    lines = write_list(Path(folder) / "own")
    listed = Path(folder) / "own/captions.tsv"
    listed.write_text("\n".join(lines + ["0.pgm\t", "absent.png\tx", "no column"]) + "\n")
    text, figures = trained(folder, caption, "own_run", "--data", "own", "--size", "16", "--updates", "60")
    for part in ("1 lines without a caption were left out", "1 lines without 2 columns were left out",
                 "1 lines whose image cannot be read, first: "):
        check(part in text, f"--data own: {part}: {text}")
    check({"exact_match", "bleu4", "baseline_exact_match", "train_cpu_seconds"} <= figures.keys(), f"{figures}")
    # Other images of another size, with a word that the model does not know.
    write_list(Path(folder) / "test", 4, 24)
    (Path(folder) / "test/captions.tsv").write_text("0.pgm\tbright\n1.pgm\ta dark painting\n")
    text, figures = trained(folder, caption, "test_run", "--data", "own", "--size", "16", "--test", "test", "--updates", "3")
    check("--test: 2 images were resized to 16 x 16" in text and figures.get("unknown_words") == 1
          and figures.get("images") == 2, f"--test: {text}, {figures}")
    # A trained net, which stays as it is.
    trained(folder, caption, "frozen", "--data", "own", "--size", "16", "--updates", "3", "--cnn", "own_run/cnn.safetensors",
            "--freeze")
    before, after = ((Path(folder) / out / "cnn.safetensors").read_bytes() for out in ("own_run", "frozen"))
    check(before == after, "--freeze: the net was trained")
    code, _, error = run(folder, caption, "--quick", "--cnn", "own_run/last.safetensors", "--out", "x")
    check(code == 1 and '"conv1.weight" float32[8, 1, 5, 5] is missing' in error, f"--cnn of another file: {code}, {error}")


def check_refusals(folder, caption):
    check_refused(folder, 2, "--freeze", caption, "--freeze", "--out", "x")
    check_refused(folder, 1, "has 4 images with captions, expected at least 16", caption, "--data", "few", "--out", "x")
    check_refused(folder, 1, "--resume: there is no x/last.safetensors", caption, "--resume", "--out", "x")
    (Path(folder) / "empty").mkdir()
    check_refused(folder, 1, "has no such list; expected a file *.tsv with lines of `image file", caption, "--data", "empty", "--out", "x")
    (Path(folder) / "digits").mkdir()
    (Path(folder) / "digits/list.tsv").write_text("single\t0\t-1\ta\n")
    (Path(folder) / "digits/images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, 1, 8, 8))
    check_refused(folder, 1, "has 0 bytes behind its header, expected 64", caption, "--data", "digits", "--out", "x")


def main():
    caption = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        write_list(Path(folder) / "few", 4)
        check_runs(folder, caption)
        check_own_images(folder, caption)
        check_refusals(folder, caption)
    report("caption trains, goes on and refuses as it says")


if __name__ == "__main__":
    main()
