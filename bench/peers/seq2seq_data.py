# SPDX-License-Identifier: MIT
"""What examples/seq2seq does with text, again in Python: units, pairs, split, vocabulary, batches, BLEU.

Knows no model and no PyTorch. Each rule is that of a C++ file of the example, so that both sides learn from and are
measured with the same sentences.
"""

import collections
import math
import random
import re

PAD, START, END, UNKNOWN = range(4)
SPECIAL = 4
IGNORED = -100
POOL_BATCHES = 50

_WIDE = ("\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6"
         "\U0001f300-\U0001f64f\U0001f900-\U0001f9ff\U00020000-\U0003fffd")
_SPACES = "\t-\r \u0085\u00a0\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
_MARKS = ("\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u2010-\u2027\u2030-\u205e\u20a0-\u20c0"
          "\u2190-\u2bff")
_LETTER = f"(?:[A-Za-z0-9]|(?![{_WIDE}{_SPACES}{_MARKS}])[\u0080-\U0010ffff])"
_WORD = re.compile(
    f"{_LETTER}(?:{_LETTER}|['\u2019](?={_LETTER})|(?<=[0-9])[.,:](?=[0-9]))*|[^{_SPACES}]")


def units_of(text, unit):
    """text.h: characters, or words, numbers and marks."""
    return list(text) if unit == "character" else _WORD.findall(text)


def read_pairs(path):
    """pairs.h, for files that are as they should be: (source, target), each pair once."""
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        lines = file.read().split("\n")
    pairs = {}
    for number, line in enumerate(lines, 1):
        if not line.strip(" \r"):
            continue
        columns = [column.strip(" \r") for column in line.split("\t")]
        if len(columns) < 2 or not columns[0] or not columns[1]:
            raise ValueError(f"{path}, line {number}: expected source TAB target")
        pairs[columns[0], columns[1]] = None
    return list(pairs)


def fnv1a(text):
    """FNV-1a of 64 bits over the bytes of a text."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def part_of_source(pair):
    """split_by_source of pairs.h with 50 permille for each held-out part."""
    place = fnv1a(pair[0]) % 1000
    return "test" if place < 50 else "validation" if place < 100 else "train"


def part_of_date(pair):
    """part_of_date of dates.h: by the ISO date."""
    value = fnv1a(pair[1])
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD % 2**64
    value ^= value >> 33
    share = value % 20
    return "test" if share < 2 else "validation" if share == 2 else "train"


def split(pairs, part_of, units, longest):
    """The parts of pairs, longer ones left out: {"train": [...], "validation": [...], "test": [...]}."""
    parts = {"train": [], "validation": [], "test": []}
    for pair in pairs:
        if all(len(units_of(side, unit)) <= longest for side, unit in zip(pair, units)):
            parts[part_of(pair)].append(pair)
    return parts


class Vocabulary:
    """vocabulary.h: units by falling count, equally frequent ones by their bytes, after four special symbols."""

    def __init__(self, texts, least_count, most):
        counts = collections.Counter(unit for text in texts for unit in text)
        order = sorted(counts, key=lambda unit: (-counts[unit], unit.encode()))
        self.units = [unit for unit in order if counts[unit] >= least_count][:most]
        self.ids = {unit: place + SPECIAL for place, unit in enumerate(self.units)}

    def __len__(self):
        return SPECIAL + len(self.units)

    def encode(self, units):
        return [self.ids.get(unit, UNKNOWN) for unit in units]

    def decode(self, ids):
        units = []
        for symbol in ids:
            if symbol == END:
                break
            if symbol == UNKNOWN:
                units.append("<unk>")
            if symbol >= SPECIAL:
                units.append(self.units[symbol - SPECIAL])
        return units


def batches_of(examples, size, seed):
    """batches.h: endless lists of examples, by pools of 50 batches in which like lengths share one."""
    draw = random.Random(seed)
    while True:
        order = list(range(len(examples)))
        draw.shuffle(order)
        batches = []
        for first in range(0, len(order), size * POOL_BATCHES):
            pool = sorted(order[first:first + size * POOL_BATCHES],
                          key=lambda i: (len(examples[i][0]), len(examples[i][1])))
            batches += [pool[i:i + size] for i in range(0, len(pool), size)]
        draw.shuffle(batches)
        for batch in batches:
            yield [examples[i] for i in batch]


def character_bleu(found, expected):
    """nn/decode/metrics.h: BLEU-4 of a corpus over characters, 0 to 100, smoothed as sacrebleu's "exp"."""
    matches, totals = [0] * 4, [0] * 4
    for text, reference in zip(found, expected):
        for n in range(4):
            grams = collections.Counter(text[i:i + n + 1] for i in range(len(text) - n))
            known = collections.Counter(reference[i:i + n + 1] for i in range(len(reference) - n))
            totals[n] += sum(grams.values())
            matches[n] += sum((grams & known).values())
    if not any(matches) or not all(totals):
        return 0.0
    logs, halved = 0.0, 1.0
    for match, total in zip(matches, totals):
        if match == 0:
            halved /= 2
        logs += math.log((match or halved) / total)
    length, wanted = sum(map(len, found)), sum(map(len, expected))
    return 100 * math.exp(logs / 4) * min(1.0, math.exp(1 - wanted / length))
