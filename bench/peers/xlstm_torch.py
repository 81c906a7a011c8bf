#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sLSTM and mLSTM of their authors' package `xlstm` on the CPU: the twins of cells/slstm/heads, cells/mlstm and
infer/mlstm of our benchmarks.

usage: xlstm_torch.py [THREADS]      in an environment with `pip install xlstm`

A training step is forward and backward with a dense upstream gradient, gradients of all parameters and of x. N sequences
of T steps, I = H features. Streaming is one step of one sequence without gradients. Prints medians in milliseconds.
"""
import statistics
import sys
import time

import torch
from torch import nn
from xlstm.blocks.mlstm.backends import parallel_stabilized_simple, recurrent_step_stabilized_simple
from xlstm.blocks.slstm.cell import sLSTMCell, sLSTMCellConfig

T, N, H, HEADS = 64, 32, 128, 4


class Slstm(nn.Module):
    """One product for the input of all steps, then the package's cell."""

    def __init__(self):
        super().__init__()
        self.input = nn.Linear(H, 4 * H, bias=False)
        self.cell = sLSTMCell(sLSTMCellConfig(hidden_size=H, num_heads=HEADS, backend="vanilla", dtype="float32",
                                              enable_automatic_mixed_precision=False))

    def forward(self, x):
        return self.cell(self.input(x))[0]


class Mlstm(nn.Module):
    """One product for q, k, v, the output gate and i, f, then the package's parallel form."""

    def __init__(self):
        super().__init__()
        self.input = nn.Linear(H, 4 * H + 2 * HEADS)

    def split(self, x):
        q, k, v, o, i, f = self.input(x).split([H, H, H, H, HEADS, HEADS], -1)
        heads = [y.view(*y.shape[:2], HEADS, -1).transpose(1, 2) for y in (q, k, v)]
        gates = [y.transpose(-1, -2).unsqueeze(-1) for y in (i, f)]
        return *heads, o, *gates

    def forward(self, x):
        q, k, v, o, i, f = self.split(x)
        h = parallel_stabilized_simple(q, k, v, i, f)
        return torch.sigmoid(o) * h.transpose(1, 2).reshape(x.shape)

    def step(self, x, state):
        q, k, v, o, i, f = self.split(x)
        h, state = recurrent_step_stabilized_simple(*state, q, k, v, i, f)
        return torch.sigmoid(o) * h.transpose(1, 2).reshape(x.shape), state


def median_ms(step, seconds=3.0):
    step(), step()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.process_time()
        step()
        times.append((time.process_time() - start) * 1e3)
    return statistics.median(times)


def training(model):
    x = torch.randn(N, T, H, requires_grad=True)
    upstream = torch.randn(N, T, H)

    def step():
        y = model(x)
        y.backward(upstream.view_as(y))
        model.zero_grad()
        x.grad = None
    return step


def streaming(model):
    x, d = torch.randn(1, 1, H), H // HEADS
    state = [torch.zeros(1, HEADS, d, d), torch.zeros(1, HEADS, d, 1), torch.zeros(1, HEADS, 1, 1)]

    def step():
        nonlocal state
        with torch.inference_mode():
            _, state = model.step(x, state)
    return step


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    torch.manual_seed(1)
    print(f"cells/slstm/heads {median_ms(training(Slstm())):.3f} ms")
    print(f"cells/mlstm {median_ms(training(Mlstm())):.3f} ms")
    print(f"infer/mlstm {median_ms(streaming(Mlstm())):.4f} ms")


if __name__ == "__main__":
    main()
