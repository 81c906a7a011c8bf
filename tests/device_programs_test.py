#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example programs with --device cuda, linked with the emulated GPU: the programs give what they give on the CPU;
custom_cell without two_clocks.cu says the line that is missing; without a GPU every program says what to do.

usage: tests/device_programs_test.py FIRST_GRADIENT CUSTOM_CELL CUSTOM_CELL_WITHOUT_ITS_CU_FILE GRID_LSTM MD_LSTM \
       TREE_LSTM REGIONS VIDEO READ_LINES LABEL VOICE
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

TRAINED = ["--updates", "3", "--hidden", "3", "--batch", "4"]
SMALL = ["--steps", "4", "--hidden", "3", "--updates", "20"]
LINE = ('pointwise "two_clocks": no CUDA kernel registered for this functor; add register_pointwise<TwoClocks>() '
        "to a .cu file, or move x to cpu")
failures = []


def check(right, what):
    if not right:
        failures.append(what)


def run(program, device, *arguments, **environment):
    """(exit code, standard error, the figures of --json) of a program on a device."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [program, "--device", device, "--out", folder, "--json", str(figures), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, env={**os.environ, **environment})
        return done.returncode, done.stderr, json.loads(figures.read_text()) if figures.exists() else {}


def numbers(figures):
    flat = []
    for key, value in sorted(figures.items()):
        # A rounded logit may change a share of right answers.
        if key not in ("seconds", "cpu_seconds", "train_cpu_seconds", "right", "parts", "accuracy", "segments",
                       "speech_seconds", "microseconds_per_chunk", "nets", "pixel_accuracy", "mean_iou",
                       "frame_accuracy", "clip_accuracy", "character_error_rate", "greedy_error_rate", "exact_match"):
            flat += value if isinstance(value, list) else [value]
    return flat


def write_small_data(folder):
    """Digits of 8 x 8 pixels, clips of them, and images of 8 x 8 pixels with labels."""
    def idx(name, sizes, values):
        (folder / name).write_bytes(struct.pack(f">{1 + len(sizes)}I", 2048 + len(sizes), *sizes) + bytes(values))
    idx("images-idx3-ubyte", (16, 8, 8), ((7 * i) % 256 for i in range(16 * 64)))
    idx("labels-idx1-ubyte", (16,), (i % 10 for i in range(16)))
    rows = (f"{i}\t{i % 10}\t{i % 9}\t{8 - i % 9}\t{1 + i % 3}\t-1\t{2 + i % 3}" for i in range(16))
    (folder / "moving.tsv").write_text("\n".join(rows) + "\n")
    idx("images-idx4-ubyte", (6, 8, 8, 3), (i % 256 for i in range(6 * 192)))
    idx("regions-labels-idx3-ubyte", (6, 8, 8), (i % 2 for i in range(6 * 64)))


def check_same(program, *arguments):
    code, error, here = run(program, "cpu", *arguments)
    check(code == 0, f"{program} on the cpu: {error}")
    code, error, there = run(program, "cuda", *arguments)
    check(code == 0, f"{program} on cuda: {error}")
    a, b = numbers(here), numbers(there)
    check(len(a) == len(b) > 1 and all(abs(x - y) <= 1e-5 * (1 + abs(x)) for x, y in zip(a, b)), f"{program}: {a}, {b}")


def main():
    (first_gradient, custom_cell, unregistered, grid_lstm, md_lstm, tree_lstm, regions, video, read_lines, label,
     voice) = sys.argv[1:]
    check_same(first_gradient)
    check_same(custom_cell, *SMALL)
    for task in ("parity", "memorise"):
        check_same(grid_lstm, "--task", task, "--length", "2", "--depth", "2", *TRAINED)
    check_same(md_lstm, "--block", "10", *TRAINED)
    check_same(tree_lstm, "--leaves", "4", *TRAINED)
    with tempfile.TemporaryDirectory() as folder:
        write_small_data(Path(folder))
        small = ("--data", folder, "--validate-every", "3", *TRAINED)
        check_same(regions, "--alone", *small)
        check_same(video, "--alone", "--channels", "2", "--predictions", "1", *small)
        # Adam divides small gradients by small roots, so a rounding error moves a weight by as much as --lr.
        check_same(read_lines, "--most", "2", "--lr", "1e-4", *small)
    sizes = ("--sentences", "60", "--embedding", "4", "--hidden", "3", "--epochs", "2")
    check_same(label, *sizes, "--pool", "attention")
    check_same(label, "tags", *sizes, "--characters", "4", "--crf")
    check_same(voice, "--signals", "8", "--piece", "20", *TRAINED)
    code, error, _ = run(unregistered, "cuda", *SMALL)
    check(code == 1 and LINE in error, f"without its .cu file: {code}, {error}")
    for program in (first_gradient, custom_cell, grid_lstm, md_lstm, tree_lstm, regions, video, read_lines, label, voice):
        code, error, _ = run(program, "cuda", EMULATED_GPU_NONE="1")
        expected = ("--device cuda: cuda: there is no NVIDIA GPU that can be used (no CUDA-capable device is detected); "
                    "keep the tensors on Device::cpu; to run on the CPU, leave --device out")
        check(code == 1 and expected in error, f"without a GPU: {code}, {error}")
        code, error, _ = run(program, "gpu")
        check(code == 2 and "--device" in error and "is not one of cpu, cuda" in error, f"--device gpu: {code}, {error}")
    print("\n".join(failures) or "every program agrees, and says what is missing")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
