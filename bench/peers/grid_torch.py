# SPDX-License-Identifier: MIT
"""A Multi-Dimensional LSTM on images in PyTorch, in one direction: cell by cell, and by anti-diagonals.

Times nothing. S1, S2 height and width, N batch, I input size, H hidden size; gates in the order i, f_1, f_2, g, o.
"""

import types

import torch
from torch import nn
from torch.nn import functional


def cell(z, c_above, c_left):
    """z [.., 5H] -> h, c."""
    i, f_above, f_left, g, o = z.chunk(5, -1)
    c = (torch.sigmoid(f_above) * c_above + torch.sigmoid(f_left) * c_left +
         torch.sigmoid(i) * torch.tanh(g))
    return torch.sigmoid(o) * torch.tanh(c), c


def skewed_step(z, h, c, w_hh):
    """The step of an anti-diagonal that has a place for each row of the image. h, c [S1 + 1, N, H]: place 0 is outside."""
    both = torch.cat((h[:-1], h[1:]), -1)
    h_next, c_next = cell(z + functional.linear(both, w_hh), c[:-1], c[1:])
    return functional.pad(h_next, (0, 0, 0, 0, 1, 0)), functional.pad(c_next, (0, 0, 0, 0, 1, 0))


class MdLstm(nn.Module):
    """The weights, and forward() as `way` says."""

    def __init__(self, inputs, hidden):
        super().__init__()
        bound = hidden**-0.5
        make = lambda *shape: nn.Parameter(torch.empty(*shape).uniform_(-bound, bound))
        self.w_ih, self.w_hh, self.bias = make(5 * hidden, inputs), make(5 * hidden, 2 * hidden), make(5 * hidden)
        self.hidden, self.way = hidden, self.by_cell
        self.step = skewed_step

    def compile_step(self):
        own = types.FunctionType(skewed_step.__code__.replace(), globals())
        self.step = torch.compile(own, dynamic=False)

    def forward(self, x):
        """x [S1, S2, N, I] -> h of all cells [S1, S2, N, H]."""
        return self.way(x, functional.linear(x, self.w_ih, self.bias))

    def by_cell(self, x, zx):
        rows, columns, batch = x.shape[:3]
        outside = x.new_zeros(batch, self.hidden)
        above = [(outside, outside)] * columns
        result = []
        for r in range(rows):
            left = (outside, outside)
            for k in range(columns):
                both = torch.cat((above[k][0], left[0]), 1)
                left = above[k] = cell(zx[r, k] + functional.linear(both, self.w_hh), above[k][1], left[1])
                result.append(left[0])
        return torch.stack(result).view(rows, columns, batch, self.hidden)

    def skewed(self, x, zx):
        """Row r is shifted by r, so that an anti-diagonal is a column. Half of the places are padding."""
        rows, columns, batch = x.shape[:3]
        levels, width = rows + columns - 1, zx.shape[-1]
        padded = functional.pad(zx, (0, 0, 0, 0, 0, rows)).flatten(0, 1)[:rows * levels]
        zs = padded.view(rows, levels, batch, width).unbind(1)
        valid = torch.ones(rows, columns)
        valid = functional.pad(valid, (0, rows)).flatten()[:rows * levels].view(rows, levels, 1, 1)
        h = x.new_zeros(rows + 1, batch, self.hidden)
        c = torch.zeros_like(h)
        states = []
        for s, z in enumerate(zs):
            h, c = self.step(z, h, c, self.w_hh)
            mask = functional.pad(valid[:, s], (0, 0, 0, 0, 1, 0))
            h, c = h * mask, c * mask
            states.append(h[1:])
        ys = torch.stack(states, 1).flatten(0, 1)  # undo the shift
        ys = functional.pad(ys, (0, 0, 0, 0, 0, rows)).view(rows, levels + 1, batch, self.hidden)
        return ys[:, :columns]

    def diagonals(self, x, zx):
        """Only the cells of the image: those of an anti-diagonal are gathered side by side."""
        rows, columns, batch = x.shape[:3]
        cells = [[(r, s - r) for r in range(max(0, s - columns + 1), min(rows, s + 1))]
                 for s in range(rows + columns - 1)]
        order = torch.tensor([r * columns + k for level in cells for r, k in level])
        zs = zx.flatten(0, 1)[order].split([len(level) for level in cells])
        outside = x.new_zeros(1, batch, self.hidden)
        h = c = outside[:0]
        first, states = 0, []
        for level, z in zip(cells, zs):
            low, high = level[0][0], level[-1][0]
            pad = lambda t: torch.cat((outside, t, outside))  # places first - 1 .. last + 1
            h, c = pad(h), pad(c)
            start = low - first + 1
            above, left = slice(start - 1, start + high - low), slice(start, start + high - low + 1)
            both = torch.cat((h[above], h[left]), -1)
            h, c = cell(z + functional.linear(both, self.w_hh), c[above], c[left])
            first = low
            states.append(h)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order))
        return torch.cat(states)[back].view(rows, columns, batch, self.hidden)


def check():
    """Raises unless all ways give the same outputs and gradients."""
    torch.manual_seed(1)
    model, x = MdLstm(3, 4).double(), torch.randn(5, 4, 2, 3).double().requires_grad_()
    dy, found = torch.randn(5, 4, 2, 4).double(), []
    for way in (model.by_cell, model.skewed, model.diagonals):
        model.way = way
        x.grad = None
        model.zero_grad()
        y = model(x)
        y.backward(dy)
        found.append([y.detach(), x.grad.clone(), *(p.grad.clone() for p in model.parameters())])
    for other in found[1:]:
        for mine, theirs in zip(found[0], other):
            assert (mine - theirs).abs().max() < 1e-10, "two ways of an MD-LSTM differ"


if __name__ == "__main__":
    check()
    print("cell by cell, skewed and by diagonals agree")
