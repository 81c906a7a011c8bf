#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/voice and ONNX Runtime on the same chunks of the same recording, in turn: CPU time per chunk and the ratio.

Needs PyPI's onnxruntime and silero-vad, whose ONNX file it runs:
  python3 -m venv build/peers/voice
  build/peers/voice/bin/pip install onnxruntime && build/peers/voice/bin/pip install --no-deps silero-vad==6.2.3
  build/peers/voice/bin/python bench/peers/voice_onnx.py build/release/examples/voice FILE.safetensors FILE.wav
"""
import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy
import onnxruntime

CHUNK, CONTEXT = 512, 64


def onnx_file():
    """The package's file; the package itself needs PyTorch to be imported."""
    found = importlib.util.find_spec("silero_vad")
    if found is None:
        sys.exit("voice_onnx: silero-vad is not installed: pip install --no-deps silero-vad==6.2.3")
    return Path(found.origin).parent / "data" / "silero_vad.onnx"


def samples_of(path):
    with wave.open(path) as sound:
        if (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) != (16000, 1, 2):
            sys.exit(f"voice_onnx: {path}: expected 16 kHz, one channel, 16 bits")
        return numpy.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(numpy.float32) / 32768


def windows_of(samples):
    padded = numpy.zeros(CONTEXT + -(-len(samples) // CHUNK) * CHUNK, numpy.float32)
    padded[CONTEXT:CONTEXT + len(samples)] = samples
    return [padded[at:at + CONTEXT + CHUNK][None] for at in range(0, len(padded) - CONTEXT, CHUNK)]


def run_onnx(session, windows):
    """(microseconds of CPU time per chunk, probabilities)"""
    state, rate, found = numpy.zeros((2, 1, 128), numpy.float32), numpy.array(16000, numpy.int64), []
    before = time.process_time()
    for window in windows:
        probability, state = session.run(None, {"input": window, "state": state, "sr": rate})
        found.append(float(probability[0, 0]))
    return 1e6 * (time.process_time() - before) / len(windows), found


def run_ours(arguments, folder):
    figures = Path(folder) / "figures.json"
    subprocess.run([arguments.program, "--weights", arguments.weights, "--data", arguments.data, "--out", folder,
                    "--json", str(figures)], check=True, stdout=subprocess.DEVNULL)
    rows = [line.split("\t") for line in (Path(folder) / "voice.tsv").read_text().splitlines() if line[0] != "#"]
    return json.loads(figures.read_text())["microseconds_per_chunk"], [float(p) for _, p in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("weights")
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(onnx_file()), options, providers=["CPUExecutionProvider"])
    windows = windows_of(samples_of(arguments.data))
    run_onnx(session, windows)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            time_of_ours, found = run_ours(arguments, folder)
            time_of_theirs, expected = run_onnx(session, windows)
            ours.append(time_of_ours)
            theirs.append(time_of_theirs)
    difference = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    print(f"{len(windows)} chunks, {arguments.rounds} rounds, medians: Tapeloop {statistics.median(ours):.1f}, "
          f"ONNX Runtime {onnxruntime.__version__} {statistics.median(theirs):.1f} microseconds of CPU time a chunk, "
          f"ratio {statistics.median(theirs) / statistics.median(ours):.1f}; largest difference {difference:.2g}")


if __name__ == "__main__":
    main()
