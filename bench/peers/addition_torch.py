# SPDX-License-Identifier: MIT
"""Trains a plain RNN in PyTorch to add binary numbers: the peer of examples/seq2seq, task add.

Draws no carry and runs on the CPU only.

Two bits a step, the lowest first, and a step of zeros for the last carry; a linear layer says the bit of the sum. Trained on
numbers of --digits bits, measured on 1, 2 and 4 times as many: a sum is right if all of its bits are.
T bits and one, N sums.
"""

import argparse
import sys
import time

import torch
from torch import nn

import torch_common as common

SUMS = 1000  # of each length that is measured
MOST_BITS = 61  # with a further carry they still fit into int64


class Adder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.rnn = nn.RNN(2, hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, bits):
        """bits [T, N, 2] -> logits of the sum's bits [T, N, 1]."""
        return self.head(self.rnn(bits)[0])


def random_sums(count, bits):
    """What is read [bits + 1, N, 2], and what is to be said [bits + 1, N, 1]."""
    numbers = torch.randint(0, 2**bits, (count, 2))
    places = torch.arange(bits + 1)[:, None, None]
    return (numbers >> places & 1).float(), (numbers.sum(-1, keepdim=True) >> places & 1).float()


@torch.no_grad()
def right_sums(model, bits):
    read, expected = random_sums(SUMS, bits)
    return int(((model(read) > 0) == (expected > 0.5)).all(0).sum())


def main():
    parser = argparse.ArgumentParser(description="PyTorch peer of examples/seq2seq, task add.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    count, number = common.positive_int, common.positive_float
    parser.add_argument("--hidden", type=count, default=16, metavar="H")
    parser.add_argument("--digits", type=count, default=8, metavar="BITS", help="of the numbers in training")
    parser.add_argument("--batch", type=count, default=64, metavar="N", help="sums in an update")
    parser.add_argument("--updates", type=count, default=2000, metavar="N")
    parser.add_argument("--lr", type=number, default=0.01, help="Adam's learning rate")
    parser.add_argument("--clip", type=number, default=1.0, metavar="X", help="largest global gradient norm")
    parser.add_argument("--seed", type=common.seed_number, default=0, help="of weights and sums")
    parser.add_argument("--threads", type=count, default=1, help="threads of an operation")
    parser.add_argument("--json", type=common.json_path, metavar="FILE", help="write the results")
    args = parser.parse_args()
    if args.digits > MOST_BITS:
        sys.exit(f"--digits is {args.digits}, expected at most {MOST_BITS}")
    common.set_threads(args.threads)
    torch.manual_seed(args.seed)
    model = Adder(args.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(args.updates):
        read, expected = random_sums(args.batch, args.digits)
        loss = nn.functional.binary_cross_entropy_with_logits(model(read), expected)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(common.environment_line())
    print(f"{args.updates} updates of {args.batch} sums of {args.digits} bits in {wall:.2f} s ({cpu:.2f} s CPU)")
    right = {}
    for times in (1, 2, 4):
        bits = min(MOST_BITS, times * args.digits)
        right[str(bits)] = right_sums(model, bits)
        print(f"{bits:3} bits: {right[str(bits)]} of {SUMS} sums right in every bit")
    if args.json:
        common.write_json(args.json, {"settings": vars(args), "environment": common.environment(), "task": "add",
                                      "seed": args.seed, "updates": args.updates, "train_seconds": wall,
                                      "train_cpu_seconds": cpu, "sums": SUMS, "right": right})


if __name__ == "__main__":
    main()
