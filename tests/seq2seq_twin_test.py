#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/peers/seq2seq_data.py follows the same rules as examples/seq2seq: the cases of seq2seq_data_test.cpp, and BLEU.

Needs no PyTorch.
"""
import math
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench" / "peers"))
import seq2seq_data as data


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


if __name__ == "__main__":
    unittest.main()
