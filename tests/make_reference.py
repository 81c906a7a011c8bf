#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the cases of tests/reference that its README lists under this script.

Independent of this library: PyTorch calculates values and gradients in float64. The tests read the files; nothing runs
this script but somebody who changes a case. usage: make_reference.py [FOLDER [CASE...]]
"""

import json
import struct
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

TYPES = {torch.float64: ("F64", "d"), torch.int64: ("I64", "q")}


def write_safetensors(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, tensor in sorted(tensors.items()):
        kind, letter = TYPES[tensor.dtype]
        raw = struct.pack(f"<{tensor.numel()}{letter}", *tensor.flatten().tolist())
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def weights_of(module):
    return dict(module.named_parameters())


def case(inputs, parameters, outputs, fixed, loss=None):
    """The tensors of a case. Without a loss, it is the sum of all outputs times random weights."""
    if loss is None:
        fixed = fixed | {f"w_{name}": torch.randn(value.shape) for name, value in outputs.items()}
        loss = sum((value * fixed[f"w_{name}"]).sum() for name, value in outputs.items())
    given = {f"input.{name}": value for name, value in inputs.items()}
    given |= {f"param.{name}": value for name, value in parameters.items()}
    gradients = torch.autograd.grad(loss, list(given.values()))
    tensors = given | {f"input.{name}": value for name, value in fixed.items()}
    tensors |= {f"output.{name}": value for name, value in {**outputs, "loss": loss}.items()}
    tensors |= {f"grad.{name}": value for name, value in zip(given, gradients)}
    return {name: value.detach() for name, value in tensors.items()}


class Decoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.W_q = nn.Linear(s["Hd"], s["A"], bias=False)
        self.W_k = nn.Linear(s["He"], s["A"])
        self.v = nn.Linear(s["A"], 1, bias=False)
        self.cell = nn.GRUCell(s["E"] + s["He"], s["Hd"])
        self.out = nn.Linear(s["Hd"] + s["He"] + s["E"], s["V"])

    def forward(self, emb, enc, h, lengths):
        past_end = torch.arange(enc.shape[1])[None] >= lengths[:, None]
        keys = self.W_k(enc)
        steps = {"attn": [], "context": [], "h": [], "logits": []}
        for x in emb.unbind(1):
            score = self.v(torch.tanh(keys + self.W_q(h)[:, None])).squeeze(-1)
            weights = torch.softmax(score.masked_fill(past_end, float("-inf")), -1)
            context = (weights[:, :, None] * enc).sum(1)
            h = self.cell(torch.cat([x, context], -1), h)
            logits = self.out(torch.cat([h, context, x], -1))
            for name, value in zip(steps, (weights, context, h, logits)):
                steps[name].append(value)
        return {name: torch.stack(values, 1) for name, values in steps.items()}


def bahdanau_unrolled():
    """bahdanau_step for each emb[:, t] in turn; attn [B,T,S], context [B,T,He], h [B,T,Hd], logits [B,T,V]"""
    s = {"B": 3, "S": 6, "T": 5, "E": 4, "He": 6, "Hd": 5, "A": 7, "V": 8}
    decoder = Decoder(s)
    inputs = {"emb": leaf(s["B"], s["T"], s["E"]), "enc": leaf(s["B"], s["S"], s["He"]), "h": leaf(s["B"], s["Hd"])}
    lengths = torch.tensor([6, 3, 4])
    return s, case(inputs, weights_of(decoder), decoder(**inputs, lengths=lengths), {"lengths": lengths})


def packed_lstm_l2_bi_proj():
    """two layers, both directions, projected, lengths unsorted"""
    s = {"kind": "lstm", "input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True, "proj_size": 2}
    lstm = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    inputs = {"x": leaf(5, 3, 3), "h0": leaf(4, 3, 2), "c0": leaf(4, 3, 4)}
    lengths = torch.tensor([2, 5, 3])
    packed = pack_padded_sequence(inputs["x"], lengths, enforce_sorted=False)
    packed, (hn, cn) = lstm(packed, (inputs["h0"], inputs["c0"]))
    y = pad_packed_sequence(packed, total_length=5)[0]
    return s, case(inputs, weights_of(lstm), {"y": y, "hn": hn, "cn": cn}, {"lengths": lengths})


def lstm_l2_bi_dropout():
    """dropout between the layers with the given mask of 0 and 1; kept values are divided by 1 - dropout"""
    s = {"kind": "lstm", "input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True, "dropout": 0.3}
    first, second = nn.LSTM(3, 4, bidirectional=True), nn.LSTM(8, 4, bidirectional=True)
    parameters = weights_of(first) | {k.replace("_l0", "_l1"): v for k, v in weights_of(second).items()}
    x = leaf(5, 2, 3)
    mask = (torch.rand(5, 2, 8) > s["dropout"]).double()
    below, (h_first, c_first) = first(x)
    y, (h_second, c_second) = second(below * mask / (1 - s["dropout"]))
    outputs = {"y": y, "hn": torch.cat([h_first, h_second]), "cn": torch.cat([c_first, c_second])}
    return s, case({"x": x}, parameters, outputs, {"mask": mask})


def layer_norm_2d():
    """over the last two axes"""
    norm = nn.LayerNorm([3, 4])
    for value in norm.parameters():
        value.data = torch.randn(3, 4)
    x = leaf(2, 3, 4)
    return {"eps": 1e-5, "normalized_shape": [3, 4]}, case({"x": x}, weights_of(norm), {"y": norm(x)}, {})


def lstm_second_order():
    """grad_x is the gradient of sum(y * w_y) by x; loss = sum(grad_x^2)"""
    lstm = nn.LSTM(3, 4)
    x = leaf(5, 2, 3)
    y = lstm(x)[0]
    w_y = torch.randn(y.shape)
    (grad_x,) = torch.autograd.grad((y * w_y).sum(), x, create_graph=True)
    s = {"kind": "lstm", "input_size": 3, "hidden_size": 4}
    return s, case({"x": x}, weights_of(lstm), {"y": y, "grad_x": grad_x}, {"w_y": w_y}, loss=(grad_x**2).sum())


class Characters(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(5, 2)
        self.rnn = nn.GRU(2, 3)
        self.out = nn.Linear(3, 5)

    def forward(self, tokens):
        logits = self.out(self.rnn(self.emb(tokens[:-1]))[0])
        return functional.cross_entropy(logits.flatten(0, 1), tokens[1:].flatten())


def opt_adamw_char_step():
    """20 steps on the loss of a character model; lr [20] is the learning rate of each step"""
    s = {"optimizer": "AdamW", "lr": 0.05, "weight_decay": 0.1, "steps": 20}
    schedule = {"scheduler": "StepLR", "step_size": 6, "gamma": 0.5}
    model, tokens = Characters(), torch.randint(0, 5, (7, 3))
    parameters = weights_of(model)
    adam = torch.optim.AdamW(parameters.values(), lr=s["lr"], weight_decay=s["weight_decay"])
    scheduler = torch.optim.lr_scheduler.StepLR(adam, schedule["step_size"], schedule["gamma"])
    rows = {"losses": [], "lr": []} | {f"traj.{name}": [value.clone()] for name, value in parameters.items()}
    rows |= {f"grad.{name}": [] for name in parameters}
    for _ in range(s["steps"]):
        adam.zero_grad()
        loss = model(tokens)
        loss.backward()
        rows["losses"].append(loss)
        rows["lr"].append(torch.tensor(scheduler.get_last_lr()[0]))
        adam.step()
        scheduler.step()
        for name, value in parameters.items():
            rows[f"grad.{name}"].append(value.grad.clone())
            rows[f"traj.{name}"].append(value.detach().clone())
    tensors = {f"param.{name}": rows[f"traj.{name}"][0] for name in parameters} | {"input.tokens": tokens}
    tensors |= {f"output.{name}": torch.stack(values) for name, values in rows.items()}
    return s | schedule, {name: value.detach() for name, value in tensors.items()}


CASES = [
    bahdanau_unrolled,
    packed_lstm_l2_bi_proj,
    lstm_l2_bi_dropout,
    layer_norm_2d,
    lstm_second_order,
    opt_adamw_char_step,
]


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "reference"
    torch.set_default_dtype(torch.float64)
    for make in CASES:
        if sys.argv[2:] and make.__name__ not in sys.argv[2:]:
            continue
        torch.manual_seed(23)
        settings, tensors = make()
        metadata = {"case": make.__name__, "config": json.dumps(settings), "about": make.__doc__}
        path = folder / f"{make.__name__}.safetensors"
        write_safetensors(path, tensors, metadata)
        print(f"| {make.__name__} | {make.__doc__} | `{metadata['config']}` | {path.stat().st_size} |")


if __name__ == "__main__":
    main()
