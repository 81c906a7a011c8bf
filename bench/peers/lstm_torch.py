# SPDX-License-Identifier: MIT
"""Times a training step of PyTorch's LSTM, fixed and written by hand, at given shapes.

Trains nothing: a step is forward, then backward from a fixed dense gradient of every hidden state.

T time steps, N batch, I input size, H hidden size. Three variants of the same mathematics:
  nn.LSTM    the built-in layer
  op by op   what a user writes for a cell of their own: both products at every step
  op by op, input at once   the same with one product for the inputs of all steps
All compute the gradients of x (unless --no-input-gradient), weights and biases.
FLOPs are those of the matrix products: 3 x 2TN x 4H(I+H), or 2TN x 4H(2I+3H) without dx.
"""

import argparse
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional

import torch_common as common

# Largest difference from nn.LSTM, relative to the largest value of the same tensor: sums over T x N
# terms in another order, in either precision.
TOLERANCE = {"float32": 1e-3, "float64": 1e-10}


class OpByOpLstm(nn.Module):
    """An LSTM of single operations, gates in the order i f g o, on the weights of `layer`."""

    def __init__(self, layer, input_at_once):
        super().__init__()
        self.w_ih, self.w_hh = layer.weight_ih_l0, layer.weight_hh_l0
        self.b_ih, self.b_hh = layer.bias_ih_l0, layer.bias_hh_l0
        self.input_at_once = input_at_once

    def forward(self, x):
        """x [T, N, I] -> all hidden states [T, N, H]; c' = f c + i g, h' = o tanh(c')."""
        h = x.new_zeros(x.shape[1], self.w_hh.shape[1])
        c = torch.zeros_like(h)
        bias = self.b_ih + self.b_hh
        if self.input_at_once:
            from_input = functional.linear(x, self.w_ih, bias).unbind(0)
        else:
            from_input = (functional.linear(x_t, self.w_ih, bias) for x_t in x.unbind(0))
        states = []
        for z in from_input:
            i, f, g, o = (z + functional.linear(h, self.w_hh)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return torch.stack(states)


class Variant:
    """One way to compute the layer, with its timings in milliseconds per step."""

    def __init__(self, name, forward):
        self.name, self.forward = name, forward
        self.repeats, self.wall, self.cpu = 1, [], []

    def step(self, x, dy, parameters):
        """One forward and backward pass; gradients start absent, as after zero_grad."""
        for tensor in (x, *parameters):
            tensor.grad = None
        y = self.forward(x)
        y.backward(dy)
        return y

    def time_run(self, x, dy, parameters):
        """Times `repeats` steps and returns seconds per step, wall and CPU of all threads."""
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(self.repeats):
            self.step(x, dy, parameters)
        return ((time.perf_counter() - wall) / self.repeats,
                (time.process_time() - cpu) / self.repeats)


def shape(text):
    """Argument type: T,N,I,H."""
    parts = text.split(",")
    if len(parts) != 4:
        raise argparse.ArgumentTypeError(f"expected T,N,I,H such as 64,32,128,128, got '{text}'")
    return tuple(common.positive_int(part) for part in parts)


def check_variants(variants, x, dy, parameters, tolerance):
    """Stops the program where a variant's output or a gradient differs from the first one's."""
    expected = None
    for variant in variants:
        y = variant.step(x, dy, parameters)
        names = ["output", "dx", "dW_ih", "dW_hh", "db_ih", "db_hh"]
        found = [y.detach(), x.grad, *(parameter.grad for parameter in parameters)]
        expected = expected or found
        for name, mine, theirs in zip(names, found, expected):
            if mine is None:
                continue
            error = ((mine - theirs).abs().max() / theirs.abs().max()).item()
            if not error <= tolerance:
                sys.exit(f"{variant.name}: {name} differs from {variants[0].name} by {error:.1e} "
                         f"of its largest value (> {tolerance:.0e}); the times would not compare")


def measure(dimensions, args):
    """Times every variant at T,N,I,H, one run of each in turn, and prints a line for each."""
    steps, batch, inputs, hidden = dimensions
    dtype = common.DTYPES[args.dtype]
    torch.manual_seed(args.seed)
    layer = nn.LSTM(inputs, hidden).to(dtype)
    parameters = list(layer.parameters())
    x = torch.randn(steps, batch, inputs, dtype=dtype).requires_grad_(args.input_gradient)
    dy = torch.randn(steps, batch, hidden, dtype=dtype)
    variants = [Variant("nn.LSTM", lambda x: layer(x)[0]),
                Variant("op by op", OpByOpLstm(layer, input_at_once=False)),
                Variant("op by op, input at once", OpByOpLstm(layer, input_at_once=True))]
    check_variants(variants, x, dy, parameters, TOLERANCE[args.dtype])
    for variant in variants:
        warm, _ = variant.time_run(x, dy, parameters)
        variant.repeats = max(1, round(args.run_seconds / warm))

    for _ in range(args.runs):
        if args.paced and not sys.stdin.readline():
            sys.exit("--paced: standard input ended before the last run; send one line per run")
        for variant in variants:
            wall, cpu = variant.time_run(x, dy, parameters)
            variant.wall.append(wall * 1e3)
            variant.cpu.append(cpu * 1e3)
            if args.paced:
                print(f"run {steps},{batch},{inputs},{hidden} | {variant.name} | {wall * 1e3:.4f}",
                      flush=True)

    passes = 3 if args.input_gradient else 2  # of the products with the input
    flops = 2 * steps * batch * 4 * hidden * (3 * hidden + passes * inputs)
    for variant in variants:
        median = statistics.median(variant.wall)
        print(f"{steps},{batch},{inputs},{hidden} | {variant.name:23} | median {median:9.3f} ms | "
              f"min {min(variant.wall):9.3f} ms | CPU {statistics.median(variant.cpu):9.3f} ms | "
              f"{flops / median / 1e6:6.1f} GFLOP/s", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description="PyTorch peer of the LSTM training step.",
                                     formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    count = common.positive_int
    parser.add_argument("--shape", type=shape, action="append", required=True, metavar="T,N,I,H",
                        help="sizes to time; may be given several times")
    parser.add_argument("--threads", type=count, default=1, help="threads of an operation")
    parser.add_argument("--runs", type=count, default=7, help="timed runs of each variant")
    parser.add_argument("--run-seconds", type=common.positive_float, default=0.2,
                        help="a run repeats the step for about this long, at least once")
    parser.add_argument("--dtype", choices=sorted(common.DTYPES), default="float32",
                        help="numbers of the layer")
    parser.add_argument("--seed", type=common.seed_number, default=0, help="of all numbers")
    parser.add_argument("--no-input-gradient", dest="input_gradient", action="store_false",
                        help="leave out the gradient of x")
    parser.add_argument("--paced", action="store_true",
                        help="wait for a line on standard input before each run and print each "
                             "run's milliseconds, so that another program can take turns")
    return parser.parse_args()


def main():
    args = parse_arguments()
    common.set_threads(args.threads)
    print(f"{common.environment_line()}, {args.dtype}, {args.runs} runs", flush=True)
    for dimensions in args.shape:
        measure(dimensions, args)


if __name__ == "__main__":
    main()
