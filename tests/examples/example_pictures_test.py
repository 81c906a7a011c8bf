#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""video and read_lines as one meets them: lists beside images, lines that do not fit, --test, --resume, an own image.

usage: tests/examples/example_pictures_test.py VIDEO READ_LINES
"""
import json
import struct
import sys
import tempfile
from pathlib import Path

from programs import check, check_refused, report, run

SMALL = ("--hidden", "3", "--validate-every", "2", "--batch", "2")


def digits(folder, count, size):
    """Images of `size` x `size` pixels with labels 0, 1, .., in the format of MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = bytes((7 * i * (1 + i // (size * size))) % 256 for i in range(count * size * size))
    (folder / "images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, count, size, size) + pixels)
    (folder / "labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, count) + bytes(i % 10 for i in range(count)))


def check_video(folder, video):
    small = (*SMALL, "--alone", "--channels", "1", "--predictions", "1")
    digits(folder / "clips", 10, 8)
    rows = [f"{i}\t{i}\t{i % 9}\t{8 - i % 9}\t{1 + i % 3}\t{-1 - i % 2}\t{2 + i % 3}" for i in range(10)]
    (folder / "clips/moving-train.tsv").write_text("\n".join(rows) + "\n")
    (folder / "clips/other.tsv").write_text("single\t1\t2\ta seven\n")
    code, out, error = run(folder, video, "--data", "clips", "--out", "v", "--json", "v.json", "--updates", "2", *small)
    check(code == 0 and "10 clips of 16 x 16 pixels, 9 of them train" in out, f"clips: {code}, {out}, {error}")
    figures = json.loads((folder / "v.json").read_text()) if code == 0 else {}
    check(all(0 <= figures.get(name, -1) <= 1 for name in ("frame_accuracy", "clip_accuracy")), f"figures: {figures}")
    check((folder / "v/video.svg").exists(), "there is no picture")
    code, out, error = run(folder, video, "--data", "clips", "--out", "v", "--updates", "4", "--resume", *small)
    check(code == 0 and "going on after update 2" in out, f"--resume: {code}, {out}, {error}")
    # A list of its own for --test, whose images are those of --data.
    (folder / "tests").mkdir()
    (folder / "tests/any-test.tsv").write_text("\n".join(rows[:3]) + "\n")
    for test in ("tests", "tests/any-test.tsv"):
        code, out, error = run(folder, video, "--data", "clips", "--test", test, "--out", "w", "--updates", "2", *small)
        check(code == 0 and "on the clips of --test" in out, f"--test {test}: {code}, {out}, {error}")
    for line, what in (("9\t9\t0\t0\t1\t1", "six columns"), ("10\t0\t0\t0\t1\t1\t6", "no such digit"),
                       ("1\t2\t0\t0\t1\t1\t6", "another label"), ("1\t1\t9\t0\t1\t1\t6", "outside"),
                       ("1\t1\t0\t0\t1\t1\t1", "one frame"), ("1\t1\t0\t0\tx\t1\t6", "no number")):
        (folder / "clips/bad.tsv").write_text("0\t0\t0\t0\t1\t1\t6\n" + line + "\n")
        check_refused(folder, 1, "clips/bad.tsv, line 2: ", video, "--data", "clips/bad.tsv", "--out", "x", *small)
    # Of two lists the larger one trains.
    code, out, error = run(folder, video, "--data", "clips", "--out", "y", "--updates", "2", *small)
    check(code == 0 and "10 clips of 16 x 16 pixels" in out, f"two lists: {code}, {out}, {error}")
    (folder / "none").mkdir()
    check_refused(folder, 1, "none has no such list; expected a file *.tsv with lines of index, label", video, "--data",
                  "none", "--out", "x", *small)
    check_refused(folder, 1, "absent: cannot be opened", video, "--data", "absent", "--out", "x", *small)


def check_lines(folder, read_lines):
    digits(folder / "lines", 20, 8)
    code, out, error = run(folder, read_lines, "--data", "lines", "--out", "l", "--json", "l.json", "--updates", "2",
                           "--most", "3", *SMALL)
    check(code == 0 and "20 digits, drawn for each update" in out, f"digits: {code}, {out}, {error}")
    figures = json.loads((folder / "l.json").read_text()) if code == 0 else {}
    check(figures.get("character_error_rate", -1) >= 0 and 0 <= figures.get("exact_match", -1) <= 1,
          f"figures: {figures}")
    code, out, error = run(folder, read_lines, "--data", "lines", "--out", "l", "--updates", "4", "--most", "3",
                           "--resume", *SMALL)
    check(code == 0 and "going on after update 2" in out, f"--resume: {code}, {out}, {error}")
    rows = [f"16\t{i % 10}{(i + 1) % 10}\t{i}@0,{i % 5} {i + 1}@7,0" for i in range(16)]
    (folder / "lines/strings.tsv").write_text("\n".join(rows) + "\n")
    # Ink on paper, of another size.
    (folder / "own.pgm").write_bytes(b"P5 40 30 255\n" + bytes(255 - 200 * (i % 3 == 0) for i in range(1200)))
    for net in ("conv", "md_lstm"):
        code, out, error = run(folder, read_lines, "--data", "lines/strings.tsv", "--out", net, "--updates", "2", "--net",
                               net, "--read", "own.pgm", *SMALL)
        check(code == 0 and "14 lines;" in out and "own.pgm: " in out and f"{net}/read.svg" in out,
              f"a list: {code}, {out}, {error}")
    code, out, error = run(folder, read_lines, "--data", "lines", "--test", "lines", "--out", "t", "--updates", "2",
                           *SMALL)
    check(code == 0 and "on 16 lines of --test" in out, f"--test: {code}, {out}, {error}")
    for line in ("15\t0\t0@0,0", "16\t1\t0@0,0", "16\t0\t20@0,0", "16\t0\t0@0,5", "16\t0\t0@0", "16\t0", "16\t\t"):
        (folder / "lines/bad.tsv").write_text(line + "\n")
        check_refused(folder, 1, "lines/bad.tsv, line 1: ", read_lines, "--data", "lines/bad.tsv", "--out", "x", *SMALL)
    (folder / "no.png").write_text("no image")
    check_refused(folder, 1, "no.png is no image that can be read", read_lines, "--read", "no.png", "--out", "x",
                  "--updates", "1000000000", *SMALL)
    check_refused(folder, 2, "--least is 4, --most 3", read_lines, "--least", "4", "--most", "3", "--out", "x", *SMALL)


if __name__ == "__main__":
    video, read_lines = (str(Path(program).resolve()) for program in sys.argv[1:])
    with tempfile.TemporaryDirectory() as temporary:
        check_video(Path(temporary), video)
        check_lines(Path(temporary), read_lines)
    report("both programs read what they say, and refuse the rest before they train")
