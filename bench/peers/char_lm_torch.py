# SPDX-License-Identifier: MIT
"""Trains a character language model with PyTorch's nn.LSTM: the peer of examples/char_lm.

Keeps no checkpoint, generates no text and runs on the CPU only.

T steps of truncated BPTT, N streams, V vocabulary (the different bytes of the text).
The first 90% of the text train: cut into N equal contiguous streams, read T characters per update,
the state carried and detached, and reset to zero when the streams start over. The last 10%
validate: one stream with carried state, every character but the first predicted once.
"""

import argparse
import math
import sys
import time

import torch
from torch import nn

import torch_common as common

VALIDATION_CHUNK = 500  # steps; bounds memory only, the carried state makes the result the same


class CharLm(nn.Module):
    """One-hot or embedded characters -> LSTM -> logits, with PyTorch's default initial weights."""

    def __init__(self, vocabulary, hidden, layers, embedding):
        super().__init__()
        self.vocabulary = vocabulary
        self.embedding = nn.Embedding(vocabulary, embedding) if embedding else None
        self.lstm = nn.LSTM(embedding or vocabulary, hidden, layers)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, characters, state):
        """characters [T, N] -> logits [T, N, V] and the new state; `state` None means zero."""
        if self.embedding is None:
            one_hot = nn.functional.one_hot(characters, self.vocabulary)
            x = one_hot.to(self.head.weight.dtype)
        else:
            x = self.embedding(characters)
        h, state = self.lstm(x, state)
        return self.head(h), state


def cross_entropy(logits, targets, reduction="mean"):
    """Cross entropy in nats: logits [T, N, V], targets [T, N] -> a scalar."""
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction=reduction)


def load_text(path):
    """Reads the bytes of `path` as indices into their sorted set: (train, validation, V)."""
    with open(path, "rb") as file:
        data = file.read()
    symbols = sorted(set(data))
    index_of = bytearray(256)
    for index, symbol in enumerate(symbols):
        index_of[symbol] = index
    text = torch.tensor(list(data.translate(bytes(index_of))), dtype=torch.int64)
    split = len(data) * 9 // 10
    return text[:split], text[split:], len(symbols)


def cut_streams(train, streams):
    """train [length] -> [L, N]: column n is the n-th contiguous piece, a remainder is left out."""
    length = train.numel() // streams
    return train[:length * streams].view(streams, length).t().contiguous()


def train_model(model, columns, args):
    """Runs the updates; returns the loss of each, wall seconds and CPU seconds of all threads."""
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    losses = []
    position, state = 0, None
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(args.updates):
        if position + args.steps >= len(columns):
            position, state = 0, None
        x = columns[position:position + args.steps]
        y = columns[position + 1:position + args.steps + 1]
        position += args.steps
        logits, state = model(x, state)
        state = tuple(part.detach() for part in state)
        loss = cross_entropy(logits, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if args.clip:
            nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        losses.append(loss.item())
    return losses, time.perf_counter() - wall, time.process_time() - cpu


@torch.no_grad()
def validate(model, text):
    """Mean nats per predicted character of text [length], read as one stream from a zero state."""
    state, total = None, 0.0
    for start in range(0, len(text) - 1, VALIDATION_CHUNK):
        stop = min(start + VALIDATION_CHUNK, len(text) - 1)
        logits, state = model(text[start:stop, None], state)
        total += cross_entropy(logits, text[start + 1:stop + 1, None], reduction="sum").item()
    return total / (len(text) - 1)


def parse_arguments():
    parser = argparse.ArgumentParser(description="PyTorch peer of the character language model.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    count, number = common.positive_int, common.positive_float
    parser.add_argument("--data", required=True, metavar="FILE", help="the text to learn")
    parser.add_argument("--hidden", type=count, default=128, metavar="H", help="units of a layer")
    parser.add_argument("--layers", type=count, default=1, metavar="L", help="LSTM layers")
    parser.add_argument("--embedding", type=count, metavar="E",
                        help="learned vectors of E numbers instead of one-hot input")
    parser.add_argument("--streams", type=count, default=32, metavar="N", help="parallel streams")
    parser.add_argument("--steps", type=count, default=50, metavar="T", help="steps per update")
    parser.add_argument("--updates", type=count, default=2000, help="updates of the weights")
    parser.add_argument("--lr", type=number, default=0.002, help="Adam's learning rate")
    parser.add_argument("--clip", type=number, metavar="X", help="largest global gradient norm")
    parser.add_argument("--seed", type=common.seed_number, default=0, help="of the first weights")
    parser.add_argument("--threads", type=count, default=1, help="threads of an operation")
    parser.add_argument("--dtype", choices=sorted(common.DTYPES), default="float32",
                        help="numbers of the model")
    parser.add_argument("--json", type=common.json_path, metavar="FILE", help="write the results")
    return parser.parse_args()


def main():
    args = parse_arguments()
    common.set_threads(args.threads)
    torch.manual_seed(args.seed)
    try:
        train, validation, vocabulary = load_text(args.data)
    except OSError as error:
        sys.exit(f"--data: cannot read '{args.data}' ({error.strerror}); give a text file")
    needed = args.streams * (args.steps + 1)
    if len(train) < needed or len(validation) < 2:
        sys.exit(f"--data: '{args.data}' has {len(train)} characters to train on and "
                 f"{len(validation)} to validate, {args.streams} streams of {args.steps} steps "
                 f"need {needed} and 2; give a longer text or lower --streams or --steps")
    model = CharLm(vocabulary, args.hidden, args.layers, args.embedding)
    model.to(common.DTYPES[args.dtype])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(common.environment_line())
    print(f"text {len(train)} + {len(validation)} characters, vocabulary {vocabulary}, "
          f"parameters {parameters}, {args.dtype}, seed {args.seed}", flush=True)

    losses, wall, cpu = train_model(model, cut_streams(train, args.streams), args)
    nats = validate(model, validation)
    if not math.isfinite(losses[-1]) or not math.isfinite(nats):
        sys.exit(f"training diverged: final loss {losses[-1]}; lower --lr or set --clip")
    tokens = args.updates * args.streams * args.steps
    tail = losses[-100:]
    results = {
        "train_loss": losses[-1],
        "train_loss_last_100": sum(tail) / len(tail),
        "validation_nats": nats,
        "validation_bits": nats / math.log(2),
        "train_seconds": wall,
        "train_cpu_seconds": cpu,
        "tokens_per_second": tokens / wall,
        "tokens_per_cpu_second": tokens / cpu,
    }
    print(f"train loss {losses[-1]:.4f} (last update), "
          f"{results['train_loss_last_100']:.4f} (mean of the last {len(tail)})")
    print(f"validation {nats:.4f} nats, {results['validation_bits']:.4f} bits per character")
    print(f"training {wall:.2f} s wall, {cpu:.2f} s CPU, {tokens / wall:.0f} tokens/s "
          f"({tokens / cpu:.0f} per CPU second)")
    if args.json:
        common.write_json(args.json, {"settings": vars(args),
                                      "environment": common.environment(),
                                      "vocabulary": vocabulary, "parameters": parameters,
                                      **results})


if __name__ == "__main__":
    main()
