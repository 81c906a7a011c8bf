#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""regions as one meets it: a folder of images and labels, files that do not fit, --test, --resume.

usage: tests/examples/example_regions_test.py REGIONS
"""
import json
import struct
import sys
import tempfile
from pathlib import Path

from programs import check, check_refused, report, run

SMALL = ("--hidden", "3", "--updates", "2", "--validate-every", "2", "--batch", "2", "--alone")


def pnm(path, kind, width, height, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"{kind} {width} {height} 255\n".encode() + bytes(pixels))


def idx(path, sizes, values):
    path.write_bytes(struct.pack(f">{1 + len(sizes)}I", 2048 + len(sizes), *sizes) + bytes(values))


def main(folder, regions):
    folder = Path(folder)
    # Images of other sizes become 8 x 8 pixels: the right half is brighter, and has label 1.
    for i, (width, height) in enumerate(((12, 8), (20, 16), (8, 8))):
        bright = [200 if column >= width // 2 else 20 for _ in range(height) for column in range(width)]
        pnm(folder / f"own/images/{i}.ppm", "P6", width, height, [v for b in bright for v in (b, b, b)])
        pnm(folder / f"own/labels/{i}.ppm", "P5", width, height, [int(b > 100) for b in bright])
    code, out, error = run(folder, regions, "--data", "own", "--side", "8", "--out", "a", "--json", "a.json", *SMALL)
    check(code == 0 and "3 scenes of 8 x 8 pixels, 2 labels" in out, f"images: {code}, {out}, {error}")
    figures = json.loads((folder / "a.json").read_text()) if code == 0 else {}
    check(0 <= figures.get("mean_iou", -1) <= 1 and 0 <= figures.get("pixel_accuracy", -1) <= 1, f"figures: {figures}")
    check((folder / "a/regions.svg").read_text().count("<image ") == 12, "the picture has not three rows of images")
    code, out, error = run(folder, regions, "--data", "own", "--side", "8", "--out", "a", *SMALL[:2],
                           *SMALL[4:], "--updates", "4", "--resume")
    check(code == 0 and "going on after update 2" in out, f"--resume: {code}, {out}, {error}")
    code, out, error = run(folder, regions, "--data", "own", "--test", "own", "--side", "8", "--out", "b", *SMALL)
    check(code == 0 and "on the scenes of --test" in out, f"--test: {code}, {out}, {error}")

    pnm(folder / "odd/images/0.ppm", "P6", 2, 2, range(12))
    check_refused(folder, 1, "odd/labels/0.ppm: cannot be opened", regions, "--data", "odd", "--out", "c", *SMALL)
    pnm(folder / "odd/labels/0.ppm", "P5", 2, 1, (0, 1))
    check_refused(folder, 1, "expected a grey image of the same size", regions, "--data", "odd", "--out", "c", *SMALL)
    pnm(folder / "many/images/0.ppm", "P6", 2, 2, range(12))
    pnm(folder / "many/labels/0.ppm", "P5", 2, 2, (0, 1, 2, 200))
    check_refused(folder, 1, "has a label 200, expected 0 to 63", regions, "--data", "many", "--out", "c", *SMALL)
    check_refused(folder, 1, "there is no folder absent", regions, "--data", "absent", "--out", "c", *SMALL)
    (folder / "idx").mkdir()
    idx(folder / "idx/images-idx4-ubyte", (1, 2, 2, 3), range(12))
    idx(folder / "idx/labels-idx3-ubyte", (1, 2, 3), range(6))
    check_refused(folder, 1, "expected 3 colours, and labels of the same sizes", regions, "--data", "idx", "--out", "c",
                  *SMALL)
    idx(folder / "idx/labels-idx3-ubyte", (1, 2, 2), (0, 1, 1, 0))
    check_refused(folder, 1, "expected 8 x 8 as in --data", regions, "--data", "own", "--side", "8", "--test", "idx",
                  "--out", "c", *SMALL)
    idx(folder / "idx/segments-idx3-ubyte", (1, 2, 2), (0, 2, 2, 0))
    check_refused(folder, 1, "region 1 of image 0 has no pixel", regions, "--data", "idx", "--out", "c", *SMALL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(temporary, str(Path(sys.argv[1]).resolve()))
    report("regions reads what it says, and refuses the rest before it trains")
