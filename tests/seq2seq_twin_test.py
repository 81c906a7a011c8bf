#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/peers/seq2seq_data.py follows the same rules as examples/seq2seq: the cases of seq2seq_data_test.cpp, and BLEU.
bench/compare/seq2seq.py, with programs of a few lines in place of both.

Needs no PyTorch and times nothing.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench" / "peers"))
import seq2seq_data as data

COMPARE = Path(__file__).resolve().parent.parent / "bench" / "compare" / "seq2seq.py"
# Stands for our program and for a Python with PyTorch; figures depend on the program and the seed.
PROGRAM = """#!/usr/bin/env python3
import json, sys
a = sys.argv[1:]
if a[0] == "-c":
    print("9.9.9")
    sys.exit()
with open("log", "a") as log:
    print(*a, file=log)
twin = a[0].endswith("_torch.py")
task = ("add" if "addition" in a[0] else a[1]) if twin else a[0]
value = {a[i]: a[i + 1] for i in range(len(a) - 1)}
if twin and value["--seed"] == "7":
    sys.exit("no luck")
updates = int(value["--updates"])
figures = {"updates": updates, "train_seconds": updates * 0.02 * (1 + twin), "train_cpu_seconds": updates * 0.01 * (1 + 2 * twin),
           "parameters": 100}
if task == "add":
    figures["right"] = {"8": 1000, "16": 999, "32": 998}
else:
    figures["test"] = {"pairs": 10, "exact_match": 0.5, "nats_per_symbol": 1.25, "bleu": 30, "translate_seconds": 1,
                       "translate_cpu_seconds": 0.02}
json.dump(figures, open(value["--json"], "w"))
"""


class Rules(unittest.TestCase):
    def test_words(self):
        cases = {
            "It's 3.50, 你好!": ["It's", "3.50", ",", "你", "好", "!"],
            "  Where's the dogs' house?  ": ["Where's", "the", "dogs", "'", "house", "?"],
            "At 10:30, 1,000 of 2.": ["At", "10:30", ",", "1,000", "of", "2", "."],
            "Café à Łódź, naïve": ["Café", "à", "Łódź", ",", "naïve"],
            "It\u2019s B2-ready…": ["It\u2019s", "B2", "-", "ready", "…"],
            "你\u3000好a1。": ["你", "好", "a1", "。"],
            "1.2.3 a.b .5 5.": ["1.2.3", "a", ".", "b", ".", "5", "5", "."],
            "": [],
            " \t\u00a0": [],
        }
        for text, units in cases.items():
            self.assertEqual(data.units_of(text, "word"), units)
        self.assertEqual(data.units_of("a b", "character"), ["a", " ", "b"])

    def test_pairs(self):
        text = "\ufeffHi.\t嗨。\tsomebody\r\n\n Run! \t跑！\nHi.\t嗨。\n"
        with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            self.assertEqual(data.read_pairs(file.name), [("Hi.", "嗨。"), ("Run!", "跑！")])
        with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as file:
            file.write("a\tb\none column\n")
            file.flush()
            with self.assertRaisesRegex(ValueError, "line 2"):
                data.read_pairs(file.name)

    def test_hash_and_split(self):
        self.assertEqual(data.fnv1a(""), 0xCBF29CE484222325)
        self.assertEqual(data.fnv1a("a"), 0xAF63DC4C8601EC8C)
        self.assertEqual(data.fnv1a("foobar"), 0x85944171F73967E8)
        pairs = [(f"source {i}", f"target {i}") for i in range(2000)] + [("much too long", "x")]
        parts = data.split(pairs, data.part_of_source, ("word", "character"), 20)
        self.assertEqual(sum(map(len, parts.values())), 2001)
        for part, low, high in (("train", 1700, 1900), ("validation", 60, 140), ("test", 60, 140)):
            self.assertTrue(low < len(parts[part]) < high, (part, len(parts[part])))
        parts = data.split(pairs, data.part_of_source, ("word", "character"), 2)
        self.assertEqual(parts, {"train": [], "validation": [], "test": []})

    def test_vocabulary(self):
        texts = [["b", "a", "c"], ["c", "a", "d"], ["c", "你"]]
        every = data.Vocabulary(texts, 1, 100)
        self.assertEqual(every.encode(["c", "a", "b", "d", "你", "x"]), [4, 5, 6, 7, 8, data.UNKNOWN])
        self.assertEqual(every.decode([data.START, 8, data.PAD, 4, data.UNKNOWN, data.END, 4]), ["你", "c", "<unk>"])
        self.assertEqual(len(data.Vocabulary(texts, 2, 100)), 6)
        self.assertEqual(data.Vocabulary(texts, 1, 1).units, ["c"])

    def test_batches(self):
        examples = [([4] * (1 + i % 12), [i]) for i in range(330)]
        batches = data.batches_of(examples, 32, 3)
        for _ in range(2):
            one_pass = [next(batches) for _ in range(11)]
            self.assertEqual(sorted(target[0] for batch in one_pass for _, target in batch), list(range(330)))
            self.assertEqual(sorted(map(len, one_pass)), [10] + [32] * 10)
            for batch in one_pass:
                lengths = [len(source) for source, _ in batch]
                self.assertLessEqual(max(lengths) - min(lengths), 2)

    def test_bleu(self):
        self.assertAlmostEqual(data.character_bleu(["abcdef"], ["abcdef"]), 100)
        # 8 of 10 characters, 6 of 8 pairs, 4 of 6 triples, 3 of 4 quadruples, and as long as the references.
        found, expected = ["abcdefg", "xbz"], ["abcdefh", "abz"]
        self.assertAlmostEqual(data.character_bleu(found, expected),
                               100 * math.exp(math.log(8 / 10 * 6 / 8 * 4 / 6 * 3 / 4) / 4))
        # No quadruple: half a match of one; too short: the penalty.
        self.assertAlmostEqual(data.character_bleu(["abcx"], ["abcyz"]),
                               100 * math.exp(math.log(3 / 4 * 2 / 3 * 1 / 2 * 0.5 / 1) / 4) * math.exp(1 - 5 / 4))
        self.assertEqual(data.character_bleu(["xyzw"], ["abcd"]), 0)


class Comparison(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = Path(self.folder.name)
        (self.path / "program").write_text(PROGRAM, encoding="utf-8")
        os.chmod(self.path / "program", 0o755)
        (self.path / "dates.tsv").write_text("a\tb\n", encoding="utf-8")

    def compare(self, *options):
        return subprocess.run([sys.executable, COMPARE, "--program", "program", "--torch-python", self.path / "program",
                               "--runs", "runs", "--out", "table.md", "--rounds", "2", *options],
                              cwd=self.path, text=True, capture_output=True, check=False)

    def test_both_tables(self):
        done = self.compare("--dates", "dates.tsv", "--seeds", "0,7")
        self.assertEqual(done.returncode, 0, done.stderr)
        table = (self.path / "table.md").read_text(encoding="utf-8")
        for line in ("| dates | an update, ms CPU | 10.00 | 30.00 | 3.0 |", "| add | an update, ms wall | 20.00 | 40.00 | 2.0 |",
                     "| dates | 0 | Tapeloop | 50.00 % | 1.2500 | 30.00 | 30.0 | 60.0 | 2.000 |",
                     "| dates | 7 | PyTorch | - | - | - | - | - | - |",
                     "| dates | mean | Tapeloop | 50.00 % | 1.2500 | 30.00 |  |  |  |",
                     "| add | 0 | PyTorch | 1000 / 999 / 998 | - | - | 60.0 | 80.0 | - |"):
            self.assertIn(line, table)
        self.assertIn("it failed: no luck", done.stderr)
        log = (self.path / "log").read_text(encoding="utf-8").splitlines()
        self.assertEqual(len([line for line in log if "dates.tsv" in line]), 4 + 4)
        # Finished runs are not repeated; the one that failed is.
        self.assertEqual(self.compare("--dates", "dates.tsv", "--seeds", "0,7").returncode, 0)
        again = (self.path / "log").read_text(encoding="utf-8").splitlines()[len(log):]
        self.assertEqual(len(again), 2)
        self.assertTrue(all("_torch.py" in line and "--seed 7" in line for line in again))

    def test_other_models_are_told(self):
        runs = self.path / "runs"
        runs.mkdir()
        test = {"pairs": 10, "exact_match": 1, "nats_per_symbol": 1, "bleu": 1, "translate_cpu_seconds": 1}
        (runs / "torch-dates-3000-0-0.json").write_text(json.dumps(
            {"updates": 3000, "train_seconds": 1, "train_cpu_seconds": 1, "parameters": 101, "test": test}))
        done = self.compare("--dates", "dates.tsv", "--seeds", "0")
        self.assertIn("**Not the same model**: the numbers of parameters differ in dates.", done.stdout)

    def test_wrong_options(self):
        for options, message in ((("--dates", "nowhere.tsv"), "there is no file 'nowhere.tsv'"),
                                 (("--seeds", "a"), "expected whole numbers"), (("--rounds", "0"), "at least 1")):
            done = self.compare(*options)
            self.assertEqual(done.returncode, 2)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    unittest.main()
