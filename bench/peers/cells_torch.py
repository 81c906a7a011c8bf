# SPDX-License-Identifier: MIT
"""Cells without a product of the state in PyTorch: minGRU, SRU and QRNN, as bench/cells_bench.cpp has them.

The input projection of all steps is one product. The recurrence is a loop over time steps, or the scan of logarithms of
minGRU's authors; each op by op, and the whole sequence given to torch.compile.
T time steps, N batch, I input size, H hidden size.
"""

import sys

import torch
from torch.nn.functional import linear, pad, softplus

from torch_common import check_gradients

SIZES = {"T": 64, "N": 32, "I": 128, "H": 128}  # of bench/cells_bench.cpp


def loop(a, b):
    """h' = a h + b from h = 0, for all steps."""
    h, states = torch.zeros_like(b[0]), []
    for forget, add in zip(a.unbind(0), b.unbind(0)):
        h = forget * h + add
        states.append(h)
    return torch.stack(states)


def min_gru(x, w, bias):
    z, n = linear(x, w, bias).chunk(2, -1)
    z = torch.sigmoid(z)
    return loop(1 - z, z * n)


def min_gru_log(x, w, bias):
    """The authors' form, whose candidates are positive."""
    z, n = linear(x, w, bias).chunk(2, -1)
    log_n = torch.where(n >= 0, (torch.relu(n) + 0.5).log(), -softplus(-n))
    kept = torch.cumsum(-softplus(z), 0)
    return torch.exp(kept + torch.logcumsumexp(log_n - softplus(-z) - kept, 0))


def sru(x, w, bias, v):
    """Version 2: the gates see the state c."""
    u, f, r = (linear(x, w) + pad(bias, (x.shape[-1], 0))).chunk(3, -1)
    v_f, v_r = v.chunk(2)
    c, states = torch.zeros_like(x[0]), []
    for x_t, u_t, f_t, r_t in zip(x.unbind(0), u.unbind(0), f.unbind(0), r.unbind(0)):
        forget, reset = torch.sigmoid(f_t + v_f * c), torch.sigmoid(r_t + v_r * c)
        c = forget * c + (1 - forget) * u_t
        states.append(reset * c + (1 - reset) * x_t)
    return torch.stack(states)


def qrnn(x, w, bias):
    """A window of two inputs, fo pooling."""
    before = pad(x, (0, 0, 0, 0, 1, 0))[:-1]
    z, f, o = linear(torch.cat((before, x), -1), w, bias).chunk(3, -1)
    f = torch.sigmoid(f)
    return torch.sigmoid(o) * loop(f, (1 - f) * torch.tanh(z))


def parameters_of(kind, inputs, hidden):
    shapes = {"cells/min_gru": [(2 * hidden, inputs), (2 * hidden,)],
              "cells/sru": [(3 * hidden, inputs), (2 * hidden,), (2 * hidden,)],
              "cells/qrnn": [(3 * hidden, 2 * inputs), (3 * hidden,)]}[kind]
    bound = hidden**-0.5
    return [torch.empty(shape).uniform_(-bound, bound).requires_grad_() for shape in shapes]


FORMS = {"cells/min_gru": {"loop": min_gru, "scan of logarithms": min_gru_log},
         "cells/sru": {"loop": sru},
         "cells/qrnn": {"loop": qrnn}}


def variants_of(kind):
    for name, form in FORMS[kind].items():
        for compiled in (False, True):
            if compiled and not hasattr(torch, "compile"):
                continue
            parameters = parameters_of(kind, SIZES["I"], SIZES["H"])
            x = torch.randn(SIZES["T"], SIZES["N"], SIZES["I"], requires_grad=True)
            dy = torch.randn(SIZES["T"], SIZES["N"], SIZES["H"])
            run = torch.compile(form, dynamic=False) if compiled else form

            def step(run=run, parameters=parameters, x=x, dy=dy):
                for parameter in [*parameters, x]:
                    parameter.grad = None
                run(x, *parameters).backward(dy)

            try:
                step()
                check_gradients([*parameters, x])
            except Exception as error:  # a compiler that is absent or fails leaves the other variants
                if not compiled:
                    raise
                print(f"torch.compile: {str(error).strip().splitlines()[0]}", file=sys.stderr)
                continue
            yield f"torch.compile, {name}" if compiled else name, step


VARIANTS = {kind: lambda _, kind=kind: variants_of(kind) for kind in FORMS}
