#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/caption in PyTorch: the same net, data, held-out scenes and updates, on one thread. Prints one line of JSON with
the fields of the program's --json.

usage: bench/peers/caption_torch.py FOLDER [--attention] [--updates N] [--seed N]
FOLDER has *images-idx3-ubyte.gz and captions-train.tsv.
"""
import argparse
import gzip
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

START, END, NONE = 0, 1, -100
CORNERS = {"single": [(14, 14)], "horizontal": [(14, 0), (14, 28)], "vertical": [(0, 14), (28, 14)]}


def read(folder):
    """(images [count, 1, 56, 56] of bytes, captions)"""
    packed = gzip.decompress(next(folder.glob("*images-idx3-ubyte.gz")).read_bytes())
    digits = np.frombuffer(packed, np.uint8, offset=16).reshape(-1, 28, 28)
    images, captions = [], []
    for line in (folder / "captions-train.tsv").read_text().splitlines():
        layout, *indices, caption = line.split("\t")
        canvas = np.zeros((1, 56, 56), np.uint8)
        for index, (row, column) in zip(indices, CORNERS[layout]):
            canvas[0, row:row + 28, column:column + 28] = digits[int(index)]
        images.append(canvas)
        captions.append(caption.split())
    return torch.from_numpy(np.stack(images)), captions


class Captioner(nn.Module):
    def __init__(self, vocabulary, attention, hidden=64, embedding=32, places=49, features=16):
        super().__init__()
        self.attention = attention
        self.cnn = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.MaxPool2d(4), nn.ReLU(),
                                 nn.Conv2d(8, features, 3, padding=1), nn.BatchNorm2d(features), nn.MaxPool2d(2), nn.ReLU())
        code = features if attention else places * features
        self.start_h, self.start_c = nn.Linear(code, hidden), nn.Linear(code, hidden)
        self.words = nn.Embedding(vocabulary, embedding)
        if attention:
            self.place = nn.Parameter(torch.empty(1, places, features).uniform_(-1, 1))
            self.cell = nn.LSTMCell(embedding + features, hidden)
            self.key, self.query = nn.Linear(features, hidden), nn.Linear(hidden, hidden, bias=False)
            self.score, self.gate = nn.Linear(hidden, 1, bias=False), nn.Linear(hidden, 1)
            self.deep_h, self.deep_z = nn.Linear(hidden, embedding, bias=False), nn.Linear(features, embedding, bias=False)
        else:
            self.lstm = nn.LSTM(embedding, hidden)
        self.output = nn.Linear(embedding if attention else hidden, vocabulary)

    def encode(self, images):
        """(annotations [N, L, D], their keys, h, c)"""
        features = self.cnn(images)
        if not self.attention:
            code = features.flatten(1)
            return None, None, torch.tanh(self.start_h(code)), torch.tanh(self.start_c(code))
        notes = features.flatten(2).transpose(1, 2) + self.place
        code = notes.mean(1)
        return notes, self.key(notes), torch.tanh(self.start_h(code)), torch.tanh(self.start_c(code))

    def forward(self, encoded, symbols):
        """Logits [T, N, V], the weights [T, N, L] or None, and the state after the last step."""
        notes, keys, h, c = encoded
        embedded = self.words(symbols)
        if not self.attention:
            ys, (h, c) = self.lstm(embedded, (h[None], c[None]))
            return self.output(ys), None, (notes, keys, h[0], c[0])
        seen, weights = [], []
        for e in embedded:
            alpha = torch.softmax(self.score(torch.tanh(keys + self.query(h)[:, None])).squeeze(-1), -1)
            z = torch.sigmoid(self.gate(h)) * torch.bmm(alpha[:, None], notes)[:, 0]
            h, c = self.cell(torch.cat([e, z], -1), (h, c))
            seen.append(e + self.deep_h(h) + self.deep_z(z))
            weights.append(alpha)
        return self.output(torch.stack(seen)), torch.stack(weights), (notes, keys, h, c)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--attention", action="store_true")
    parser.add_argument("--updates", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    images, captions = read(options.folder)
    symbols = {}
    for caption in captions:
        for word in caption:
            symbols.setdefault(word, len(symbols) + 2)
    held_out = [i for i in range(len(captions)) if i % 8 == 7]
    train = torch.tensor([i for i in range(len(captions)) if i % 8 != 7])
    longest = max(map(len, captions))
    inputs = torch.full((longest + 1, len(captions)), END)
    targets = torch.full((longest + 1, len(captions)), NONE)
    for i, caption in enumerate(captions):
        row = [symbols[word] for word in caption]
        inputs[:len(row) + 1, i] = torch.tensor([START] + row)
        targets[:len(row) + 1, i] = torch.tensor(row + [END])
    model = Captioner(len(symbols) + 2, options.attention)
    adam = torch.optim.Adam(model.parameters(), lr=0.002)
    begin = time.process_time()
    for _ in range(options.updates):
        chosen = train[torch.randint(len(train), (32,))]
        steps = int((targets[:, chosen] != NONE).sum(0).max())
        target = targets[:steps, chosen]
        logits, weights, _ = model(model.encode(images[chosen].float() / 255), inputs[:steps, chosen])
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=NONE)
        if options.attention:
            seen = (weights * (target != NONE)[..., None]).sum(0)
            loss = loss + 1e-3 * (1 - seen).square().sum() / 32
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5)
        adam.step()
    seconds = time.process_time() - begin
    model.eval()
    right = 0
    with torch.no_grad():  # greedily, where the program searches with beams
        for first in range(0, len(held_out), 200):
            part = torch.tensor(held_out[first:first + 200])
            state = model.encode(images[part].float() / 255)
            word = torch.full((len(part),), START)
            found = [[] for _ in part]
            for _ in range(2 * longest + 1):
                logits, _, state = model(state, word[None])
                word = logits[0].argmax(-1)
                for row, symbol in zip(found, word.tolist()):
                    if not row or row[-1] != END:
                        row.append(symbol)
            right += sum(row == [symbols[w] for w in captions[i]] + [END] for row, i in zip(found, part.tolist()))
    print(json.dumps({"exact_match": right / len(held_out), "train_cpu_seconds": seconds, "updates": options.updates}))


if __name__ == "__main__":
    main()
