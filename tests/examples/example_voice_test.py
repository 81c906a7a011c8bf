#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/voice as a program: trains, saves weights that it reads again, hears files and pipes alike, trains further,
and refuses bad input.

usage: tests/examples/example_voice_test.py VOICE
"""
import json
import struct
import sys
import tempfile
import wave
from pathlib import Path

from programs import check, check_refused, report, run


def write_wav(path, samples, rate=16000):
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples)


def main():
    voice = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, four = ["--quick", "--validate-every", "2"], ["--updates", "4"]
        code, out, error = run(folder, voice, *small, *four, "--out", "own", "--json", "own.json")
        check(code == 0 and error == "" and "a threshold of the energy" in out, f"own: {code}, {out}{error}")
        figures = json.loads((folder / "own.json").read_text())
        check({"accuracy", "baseline_accuracy", "train_cpu_seconds", "microseconds_per_chunk"} <= figures.keys(), figures)
        run(folder, voice, *small, "--out", "half", "--updates", "2")
        code, _, error = run(folder, voice, *small, *four, "--out", "half", "--resume")
        whole, resumed = ((folder / run_of / "detector.safetensors").read_bytes() for run_of in ("own", "half"))
        check(code == 0 and whole == resumed, f"a resumed training gives other weights: {error}")

        samples = struct.pack("<40000h", *((i * i * 37) % 4001 - 2000 for i in range(40000)))
        (folder / "sounds").mkdir()
        write_wav(folder / "sounds/a.wav", samples)
        trained = ["--weights", "own/detector.safetensors"]
        code, _, error = run(folder, voice, *trained, "--data", "sounds/a.wav", "--out", "file")
        check(code == 0 and error == "", f"file: {error}")
        table = (folder / "file/voice.tsv").read_text()
        check(table.count("\n") == 80 and (folder / "file/voice.svg").exists(), f"the table: {table}")
        (folder / "raw").write_bytes(samples)
        with open(folder / "raw", "rb") as raw:
            code, _, error = run(folder, voice, *trained, "--data", "-", "--out", "pipe", "--expect", "file/voice.tsv",
                                 "--json", "pipe.json", stdin=raw)
        check(code == 0 and (folder / "pipe/voice.tsv").read_text() == table, f"a pipe: {error}")
        check(json.loads((folder / "pipe.json").read_text())["max_difference"] < 1e-6, "max_difference")

        (folder / "sounds/a.tsv").write_text("".join(f"{i}\t{int(i < 40)}\n" for i in range(79)))
        write_wav(folder / "sounds/b.wav", samples)
        code, out, error = run(folder, voice, *trained, "--finetune", "sounds", "--piece", "20", "--updates", "3",
                               "--out", "fine", "--json", "fine.json")
        check(code == 0 and "before" in out and "after" in out and "b.wav: skipped, there is no" in error,
              f"finetune: {code}, {out}{error}")
        check(json.loads((folder / "fine.json").read_text())["remarks"] == 1, "remarks")
        check((folder / "fine/detector.safetensors").stat().st_size > 1000, "the finetuned weights")
        code, out, error = run(folder, voice, *trained, "--test", "sounds")
        check(code == 0 and "test: accuracy" in out, f"test: {code}, {out}{error}")

        write_wav(folder / "fast.wav", samples, 44100)
        check_refused(folder, 1, "44100 samples per second, expected 16000", voice, *trained, "--data", "fast.wav")
        check_refused(folder, 1, "is no WAV file", voice, *trained, "--data", "raw")
        check_refused(folder, 2, "--weights needs something to hear", voice, *trained)
        check_refused(folder, 2, "--finetune requires --weights", voice, "--finetune", "sounds")
        (folder / "sounds/b.tsv").write_text("0\tloud\n")
        check_refused(folder, 1, 'b.tsv, line 1: "0\\x09loud", expected the number of the chunk, 0', voice, *trained,
                      "--test", "sounds")
        (folder / "sounds/b.tsv").write_text("0\t1\n")
        check_refused(folder, 1, "has 1 lines, but sounds/b.wav has 79 chunks", voice, *trained, "--test", "sounds")
    report("voice trains, hears and refuses as it says")


if __name__ == "__main__":
    main()
