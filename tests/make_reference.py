#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/reference/bahdanau_unrolled.safetensors: several teacher-forced steps of the layer of bahdanau_step.

Independent of this library: PyTorch calculates values and gradients in float64. The tests read the file; nothing runs this
script but somebody who changes the case. usage: make_reference.py [FOLDER]
"""

import json
import struct
import sys
from pathlib import Path

import torch
from torch import nn

NAME = "bahdanau_unrolled"
SIZES = {"B": 3, "S": 6, "T": 5, "E": 4, "He": 6, "Hd": 5, "A": 7, "V": 8}
ABOUT = (
    "bahdanau_step for each emb[:, t] in turn, the h of one step being that of the next; "
    "attn [B,T,S], context [B,T,He], h [B,T,Hd], logits [B,T,V]"
)
TYPES = {torch.float64: ("F64", "d"), torch.int64: ("I64", "q")}


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        s = SIZES
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


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "reference"
    torch.manual_seed(23)
    torch.set_default_dtype(torch.float64)
    s = SIZES
    decoder = Decoder()
    inputs = {
        "emb": torch.randn(s["B"], s["T"], s["E"]),
        "enc": torch.randn(s["B"], s["S"], s["He"]),
        "h": torch.randn(s["B"], s["Hd"]),
    }
    for tensor in inputs.values():
        tensor.requires_grad_()
    lengths = torch.tensor([6, 3, 4])
    outputs = decoder(**inputs, lengths=lengths)
    weights = {f"w_{name}": torch.randn(value.shape) for name, value in outputs.items()}
    outputs["loss"] = sum((value * weights[f"w_{name}"]).sum() for name, value in outputs.items())
    outputs["loss"].backward()

    tensors = {f"input.{name}": value.detach() for name, value in {**inputs, **weights, "lengths": lengths}.items()}
    tensors |= {f"output.{name}": value.detach() for name, value in outputs.items()}
    tensors |= {f"grad.input.{name}": value.grad for name, value in inputs.items()}
    for name, value in decoder.named_parameters():
        tensors |= {f"param.{name}": value.detach(), f"grad.param.{name}": value.grad}
    metadata = {"case": NAME, "config": json.dumps(SIZES), "about": ABOUT}
    write_safetensors(folder / f"{NAME}.safetensors", tensors, metadata)


if __name__ == "__main__":
    main()
