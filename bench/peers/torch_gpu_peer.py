# SPDX-License-Identifier: MIT
"""A peer: the rows of bench/gpu in PyTorch on a GPU: cuDNN's layers, and a user's cell op by op and under CUDA graphs.

Trains nothing. Rows come as arguments or, one per line, on standard input; each is answered with one line of JSON for each way
to write it, as by gpu_bench. A step is forward, then backward from a dense gradient of every hidden state to those of weights,
biases and xs; a forward row runs under no_grad. float32 rows forbid TF32, tf32 rows allow it, in cuBLAS and in cuDNN; half
rows have 16-bit floats throughout.
T time steps, N batch, I input size, H hidden size.

usage: torch_gpu_peer.py [--quick] [--cpu] [ROW...]     --cpu: without a GPU and without graphs, to see that it works
"""

import json
import statistics
import sys
import time

import torch
from torch import nn

from lstm_torch import OpByOpLstm
from peer_rows import parse_row, repeats_for
from torch_common import check_gradients

NO_GPU = 77
WARM_UP = 3
FULL_CLOCK_SECONDS = 0.5  # an idle GPU needs a part of this time to reach its full clock


class Timer:
    """Medians over samples of many steps, with one wait at the end of each, as gpu_bench's."""

    def __init__(self, device, quick):
        self.device = device
        self.samples, self.seconds, self.warm_up = (3, 1e-4, 0) if quick else (21, 0.02, FULL_CLOCK_SECONDS)

    def wait(self):
        if self.device == "cuda":
            torch.cuda.synchronize()

    def run(self, step, count):
        start = time.perf_counter()
        for _ in range(count):
            step()
        self.wait()
        return (time.perf_counter() - start) / count

    def measure(self, step):
        for _ in range(WARM_UP):
            self.run(step, 1)
        one = min(self.run(step, 1), self.run(step, 2))
        one = min(one, self.run(step, repeats_for(self.warm_up, one)))
        count = repeats_for(self.seconds, one)
        times = [self.run(step, count) for _ in range(self.samples)]
        return {"seconds_per_step": statistics.median(times), "least": min(times), "most": max(times),
                "steps": count * self.samples}


def as_graph(step):
    """The step captured once; what is timed is its replay."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def number_of(kind, device):
    """Where the tensors of a row are, and of which type."""
    return {"device": device, "dtype": torch.float16 if "/half" in kind else torch.float32}


def layer_steps(kind, sizes, device):
    """(name, step, parameters) of each way to write a recurrent layer."""
    cell, do = kind.split("/")[1:3]
    number = number_of(kind, device)
    layer = (nn.GRU if cell == "gru" else nn.LSTM)(sizes["I"], sizes["H"], **number)
    xs = torch.randn(sizes["T"], sizes["N"], sizes["I"], requires_grad=do == "step", **number)
    dys = torch.randn(sizes["T"], sizes["N"], sizes["H"], **number)
    parameters = [*layer.parameters(), xs]
    if cell in ("lstm", "gru"):
        by = ", cuDNN" if device == "cuda" else ""
        ways = [(f"nn.{type(layer).__name__}{by}", lambda x: layer(x)[0])]
    else:
        ways = [("op by op", OpByOpLstm(layer, False)), ("op by op, input at once", OpByOpLstm(layer, True))]
    for name, forward in ways:

        def forward_step(forward=forward):
            with torch.no_grad():
                forward(xs)

        def training_step(forward=forward):
            for parameter in parameters:
                parameter.grad = None
            forward(xs).backward(dys)

        yield name, forward_step if do == "forward" else training_step, parameters if do == "step" else []


def other_step(kind, sizes, device):
    """The rows that tell what the GPU can do."""
    if kind.startswith("gpu/gemm/"):
        a = torch.randn(sizes["M"], sizes["K"], **number_of(kind, device))
        b = torch.randn(sizes["K"], sizes["N"], **number_of(kind, device))
        return "torch.matmul", lambda: torch.matmul(a, b)
    if kind == "gpu/launch":
        x = torch.ones(sizes["N"], device=device)
        return "torch.tanh", lambda: torch.tanh(x)
    a, b, c = (torch.ones(sizes["MiB"] * 2**18, device=device) for _ in range(3))
    if kind == "gpu/copy":
        return "Tensor.copy_", lambda: b.copy_(a)
    if kind == "gpu/multiply_add":
        return "torch.addcmul", lambda: torch.addcmul(c, a, b)
    raise ValueError(f"there is no row of this kind: {kind}")


def ways_of(kind, sizes, device):
    """Pairs of a name and a step: one way, or each way as it is and, on a GPU, as a CUDA graph."""
    if kind.split("/")[1] not in ("lstm", "gru", "user_cell", "op_by_op"):
        yield other_step(kind, sizes, device)
        return
    for name, step, parameters in layer_steps(kind, sizes, device):
        yield name, step
        if parameters:
            check_gradients(parameters)
        if device == "cuda":
            yield name + ", CUDA graph", None  # captured when its turn comes, so that a failure is its own


def answer(row, timer):
    """Lines for a row, one for each way."""
    kind, sizes = parse_row(row)
    tf32 = "/tf32" in kind
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    plain = None
    for name, step in ways_of(kind, sizes, timer.device):
        try:
            if step is None:
                step = as_graph(plain)
            else:
                plain = step
            result = timer.measure(step)
        except Exception as error:  # a way that fails must not lose the others
            result = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        yield {"row": row, "variant": name, **result}


def main():
    arguments = sys.argv[1:]
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return
    device = "cpu" if "--cpu" in arguments else "cuda"
    rows = [argument for argument in arguments if not argument.startswith("--")]
    if device == "cuda" and not torch.cuda.is_available():
        print(f"PyTorch {torch.__version__} finds no GPU", file=sys.stderr)
        sys.exit(NO_GPU)
    torch.manual_seed(1)
    version = torch.__version__
    if device == "cuda":
        version += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    print(json.dumps({"peer": "PyTorch", "version": version}), flush=True)
    timer = Timer(device, "--quick" in arguments)
    for line in rows or sys.stdin:
        row = line.strip()
        try:
            for result in answer(row, timer):
                print(json.dumps(result), flush=True)
        except Exception as error:
            print(json.dumps({"row": row, "error": f"{type(error).__name__}: {error}".splitlines()[0]}), flush=True)


if __name__ == "__main__":
    main()
