# SPDX-License-Identifier: MIT
"""Compares random programs with PyTorch in float64: values, gradients, second derivatives. See `./dev help`."""
import argparse
import collections
import json
import subprocess
import sys

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
TOLERANCE = 1e-8  # relative to 1 + the largest magnitude of the tensor


def index(ints, shape):
    count = 1
    for size in shape:
        count *= size
    return torch.tensor(ints[len(ints) - count:], dtype=torch.int64).reshape(shape)


def reduction(function):
    def run(x, ints, reals):
        return function(x[0], ints[1:], ints[0] != 0)
    return run


def along(function):
    return lambda x, ints, reals: function(x[0], ints[0])


def sum_to(x, shape):
    x = x.sum(dim=list(range(x.dim() - len(shape)))) if x.dim() > len(shape) else x
    axes = [i for i, size in enumerate(shape) if size == 1]
    return x.sum(dim=axes, keepdim=True) if axes else x


def select(x, ints, reals):
    a, b = torch.broadcast_tensors(x[0], x[1])
    return torch.where(a < b, b * b, a)


def split(x, ints, reals):
    first, second = torch.split(x[0], ints[1:], ints[0])
    return torch.cat([second, first], ints[0])


def chunk(x, ints, reals):
    parts = torch.chunk(x[0], ints[1], ints[0])
    return parts[0] * parts[-1]


def unstack(x, ints, reals):
    parts = torch.unbind(x[0], ints[0])
    return parts[0] - parts[-1]


def linear_each(x, ints, reals):
    return torch.einsum("...nk,nok->...no", x[0], x[1])


def sequence(step):
    def run(x, ints, reals):
        zx, w, state = x[0], x[1], list(x[2:])
        steps, lengths = range(zx.shape[0]), ints[1:]
        hs = [None] * zx.shape[0]
        for t in reversed(steps) if ints[0] else steps:
            new = step(zx[t], state[0] @ w.T, state)
            hs[t] = new[0]
            if lengths:
                runs = torch.tensor([t < n for n in lengths]).unsqueeze(1)
                hs[t] = torch.where(runs, new[0], torch.zeros_like(new[0]))
                new = [torch.where(runs, a, b) for a, b in zip(new, state)]
            state = new
        return torch.cat([torch.stack(hs).reshape(-1)] + [s.reshape(-1) for s in state])
    return run


def random_gate(zx, zh, state):
    n, u = (zx + zh).chunk(2, 1)
    return [state[0] + torch.sigmoid(u) * (torch.tanh(n) - state[0])]


def lstm(zx, zh, state):
    i, f, g, o = (zx + zh).chunk(4, 1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return [torch.sigmoid(o) * torch.tanh(c), c]


def gru(zx, zh, state):
    (xr, xz, xn), (hr, hz, hn) = zx.chunk(3, 1), zh.chunk(3, 1)
    n = torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
    return [n + torch.sigmoid(xz + hz) * (state[0] - n)]


REDUCE = ["mean", "sum", "none"]


def cross_entropy(x, ints, reals):
    classes = x[0].shape[-1]
    target = index(ints, x[0].shape[:-1])
    loss = F.cross_entropy(x[0].reshape(-1, classes), target.reshape(-1), label_smoothing=reals[0],
                           reduction=REDUCE[ints[0]])
    return loss.reshape(target.shape) if ints[0] == 2 else loss


def kl_divergence(x, t, reduction):
    items = F.kl_div(x, t, reduction="none")
    return {"mean": items.mean, "sum": items.sum, "none": lambda: items}[reduction]()


def loss(function):
    return lambda x, ints, reals: function(*torch.broadcast_tensors(x[0], x[1]), REDUCE[ints[0]])


OPS = {
    "exp": torch.exp, "log": torch.log, "log1p": torch.log1p, "sqrt": torch.sqrt,
    "square": torch.square, "abs": torch.abs, "sin": torch.sin, "cos": torch.cos, "erf": torch.erf,
    "clamp": lambda x: torch.clamp(x, -0.5, 0.75), "tanh": torch.tanh, "sigmoid": torch.sigmoid,
    "softplus": F.softplus, "relu": torch.relu, "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": lambda x: F.elu(x, 1.5), "gelu": F.gelu, "silu": F.silu, "negative": torch.neg,
    "detach": lambda x: 0.5 * x + 0.0 * x.detach(), "cube": lambda x: x**3,
}
OPS = {name: (lambda f: lambda x, ints, reals: f(x[0]))(f) for name, f in OPS.items()}
OPS |= {
    "x+c": lambda x, ints, reals: x[0] + reals[0],
    "c-x": lambda x, ints, reals: reals[0] - x[0],
    "x*c": lambda x, ints, reals: x[0] * reals[0],
    "x/c": lambda x, ints, reals: x[0] / reals[0],
    "c/x": lambda x, ints, reals: reals[0] / x[0],
    "pow_c": lambda x, ints, reals: x[0]**reals[0],
    "add": lambda x, ints, reals: x[0] + x[1],
    "sub": lambda x, ints, reals: x[0] - x[1],
    "mul": lambda x, ints, reals: x[0] * x[1],
    "div": lambda x, ints, reals: x[0] / x[1],
    "pow": lambda x, ints, reals: x[0]**x[1],
    "max": lambda x, ints, reals: torch.maximum(*torch.broadcast_tensors(x[0], x[1])),
    "min": lambda x, ints, reals: torch.minimum(*torch.broadcast_tensors(x[0], x[1])),
    "select": select,
    "sum": reduction(lambda x, axes, keep: x.sum(axes, keepdim=keep)),
    "mean": reduction(lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    "max_axes": reduction(lambda x, axes, keep: torch.amax(x, axes, keepdim=keep)),
    "min_axes": reduction(lambda x, axes, keep: torch.amin(x, axes, keepdim=keep)),
    "logsumexp": reduction(lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep)),
    "var": reduction(lambda x, axes, keep: torch.var(x, axes, correction=1, keepdim=keep)),
    "var_biased": reduction(lambda x, axes, keep: torch.var(x, axes, correction=0, keepdim=keep)),
    "prod": along(torch.prod), "cumsum": along(torch.cumsum), "softmax": along(torch.softmax),
    "log_softmax": along(torch.log_softmax), "norm": lambda x, ints, reals: torch.linalg.vector_norm(x[0]),
    "reshape": lambda x, ints, reals: x[0].reshape(ints),
    "transpose": lambda x, ints, reals: x[0].transpose(-2, -1),
    "permute": lambda x, ints, reals: x[0].permute(ints),
    "insert_axis": along(torch.unsqueeze),
    "expand": lambda x, ints, reals: x[0].expand(ints),
    "sum_to": lambda x, ints, reals: sum_to(x[0], ints),
    "tril": along(torch.tril), "flip": along(lambda x, axis: torch.flip(x, [axis])),
    "slice": lambda x, ints, reals: x[0].movedim(ints[0], 0)[ints[1]:ints[2]:ints[3]].movedim(0, ints[0]),
    "select_index": lambda x, ints, reals: x[0].select(ints[0], ints[1]),
    "split": split, "chunk": chunk, "unstack": unstack,
    "concat": lambda x, ints, reals: torch.cat(x, ints[0]),
    "stack": lambda x, ints, reals: torch.stack(x, ints[0]),
    "matmul": lambda x, ints, reals: torch.matmul(x[0], x[1]),
    "linear": lambda x, ints, reals: F.linear(*x),
    "linear_each": linear_each, "recurrent": sequence(random_gate), "lstm": sequence(lstm), "gru": sequence(gru),
    "layer_norm": lambda x, ints, reals: F.layer_norm(x[0], x[1].shape, x[1], x[2]),
    "embedding": lambda x, ints, reals: F.embedding(index(ints, [2, len(ints) // 2]), x[0]),
    "take": lambda x, ints, reals: x[0].index_select(ints[0], torch.tensor(ints[1:])),
    "gather": lambda x, ints, reals: x[0].gather(
        ints[0], index(ints, [ints[1] if i == ints[0] else n for i, n in enumerate(x[0].shape)])),
    "cross_entropy": cross_entropy,
    "mse": loss(lambda x, t, r: F.mse_loss(x, t, reduction=r)),
    "l1_loss": loss(lambda x, t, r: F.l1_loss(x, t, reduction=r)),
    "huber": loss(lambda x, t, r: F.huber_loss(x, t, delta=0.7, reduction=r)),
    "bce_with_logits": loss(lambda x, t, r: F.binary_cross_entropy_with_logits(x, t, reduction=r)),
    "kl_divergence": loss(kl_divergence),
}


def evaluate(line):
    """Returns outputs, gradients and second derivatives in the order of the library's Results."""
    program = line["program"]
    values, inputs = [], []
    for step in program["steps"]:
        if step["op"] == "input":
            values.append(torch.tensor(step["values"]).reshape(step["shape"]).requires_grad_())
            inputs.append(values[-1])
        else:
            values.append(OPS[step["op"]]([values[i] for i in step["args"]], step["ints"], step["reals"]))
    outputs = [values[i] for i in program["outputs"]]
    total = sum((y.reshape(-1) * torch.tensor(w)).sum() for y, w in zip(outputs, program["weights"]))
    total = total + sum(0.25 * (x * x).sum() for x in inputs)
    gradients = torch.autograd.grad(total, inputs, create_graph=True)
    along_direction = sum((g.reshape(-1) * torch.tensor(d)).sum()
                          for g, d in zip(gradients, line["directions"]))
    second = torch.autograd.grad(along_direction, inputs)
    return {"values": outputs, "gradients": gradients, "second": second}


def differences(line):
    found = []
    expected = evaluate(line)
    for what in ("values", "gradients", "second"):
        for k, (ours, theirs) in enumerate(zip(line[what], expected[what])):
            a, b = torch.tensor([float("nan") if v is None else v for v in ours]), theirs.detach().reshape(-1)
            if a.shape != b.shape:
                found.append(f"{what} {k}: {a.numel()} elements, PyTorch has {b.numel()}")
            elif b.numel() > 0:
                error = ((a - b).abs().max() / (1 + b.abs().max())).item()
                if not error < TOLERANCE:
                    found.append(f"{what} {k}: relative error {error:.1e}")
    return found


def main():
    parser = argparse.ArgumentParser(prog="./dev diff", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=20000, help="programs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1000000, help="seed of the first program (default: %(default)s)")
    parser.add_argument("--programs", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    run = subprocess.Popen([arguments.programs, str(arguments.count), str(arguments.seed)],
                           stdout=subprocess.PIPE, text=True)
    compared, failed, tensors, used = 0, 0, 0, collections.Counter()
    for text in run.stdout:
        line = json.loads(text)
        problems = [f"different bits with {line['bits']}"] if line["bits"] else []
        seed = line.get("seed")
        if "program" in line:
            seed = line["program"]["seed"]
            problems += differences(line)
            compared += 1
            tensors += sum(len(line[what]) for what in ("values", "gradients", "second"))
            used.update(step["op"] for step in line["program"]["steps"])
        if problems:
            failed += 1
            print(f"seed {seed}: " + "; ".join(problems))
            print(line.get("code", "a program of large tensors"), flush=True)
    if run.wait() != 0:
        print(f"diff_programs ended with {run.returncode} after {compared} programs")
        failed += 1
    unused = sorted(set(OPS) - set(used))
    if unused:
        print("not used: " + ", ".join(unused))
    print(f"{compared} programs, {tensors} tensors compared with PyTorch {torch.__version__}: {failed} differ")
    return 0 if failed == 0 and compared == arguments.count else 1


if __name__ == "__main__":
    sys.exit(main())
