# SPDX-License-Identifier: MIT
"""Tree-LSTM and Graph LSTM in PyTorch, batched by levels: all nodes of a level in one product.

bench/structures_bench.cpp makes the same trees and graphs. The levels and all index tensors are made before the timed
step. Each step has two forms: states of all levels side by side by torch.cat, or written into one buffer.
N trees or graphs, V nodes of each, I input size, H hidden size.
"""

import types

import torch
from torch.nn.functional import linear

from structures_data import binary_children, graph_neighbours, levels_of, tree_children
from torch_common import check_gradients


def edges_of(levels, lists, row):
    """For each level: the row of each edge's node within the level, and row(node, other) of its other end."""
    result = []
    for nodes in levels:
        own, other = [], []
        for place, node in enumerate(nodes):
            own += [place] * len(lists[node])
            other += [row(node, end) for end in lists[node]]
        result.append(types.SimpleNamespace(first=0, count=len(nodes), own=torch.tensor(own, dtype=torch.int64),
                                            other=torch.tensor(other, dtype=torch.int64)))
    first = 0
    for level in result:
        level.first = first
        first += level.count
    return result


class States:
    """A state of the levels that have run, behind `given` rows: by torch.cat, or in a buffer."""

    def __init__(self, given, rows, buffered):
        self.buffered, self.count = buffered, given.shape[0]
        self.all = given
        if buffered:
            self.all = torch.cat([given, given.new_zeros(rows, given.shape[1])])

    def rows(self, index):
        return self.all.index_select(0, index)

    def add(self, values):
        if self.buffered:
            self.all = self.all.slice_scatter(values, 0, self.count, self.count + values.shape[0])
        else:
            self.all = torch.cat([self.all, values])
        self.count += values.shape[0]


def summed(values, own, count):
    return values.new_zeros(count, values.shape[1]).index_add(0, own, values)


def uniform(*shape):
    return torch.empty(*shape).uniform_(-0.1, 0.1).requires_grad_()


def step_of(parameters, forward, nodes, hidden):
    dh = torch.randn(nodes, hidden)

    def step():
        for parameter in parameters:
            parameter.grad = None
        forward().backward(dh)

    step()
    check_gradients(parameters)
    return step


def child_sum_variants(sizes):
    n, v, i, h = (sizes[key] for key in "NVIH")
    children = tree_children(n, v)
    levels = levels_of(children)
    order = [node for level in levels for node in level]
    row = {node: k for k, node in enumerate(order)}
    edges = edges_of(levels, children, lambda _, end: row[end])
    index, back = torch.tensor(order), torch.tensor([row[node] for node in range(n * v)])
    x = torch.randn(n * v, i, requires_grad=True)
    w, u, b = uniform(4 * h, i), uniform(4 * h, h), uniform(4 * h)
    parameters = [x, w, u, b]

    def forward(buffered):
        z = linear(x.index_select(0, index), w, b)
        hs, cs = States(x.new_zeros(0, h), n * v, buffered), States(x.new_zeros(0, h), n * v, buffered)
        u_f, u_rest = u[h:2 * h], torch.cat([u[:h], u[2 * h:]])
        for level in edges:
            own = z[level.first:level.first + level.count]
            gates = torch.cat([own[:, :h], own[:, 2 * h:]], 1)
            kept = 0
            if len(level.own):
                below = hs.rows(level.other)
                gates = gates + linear(summed(below, level.own, level.count), u_rest)
                forget = torch.sigmoid(own[:, h:2 * h].index_select(0, level.own) + linear(below, u_f))
                kept = summed(forget * cs.rows(level.other), level.own, level.count)
            gate_i, gate_g, gate_o = gates.chunk(3, 1)
            c = torch.sigmoid(gate_i) * torch.tanh(gate_g) + kept
            hs.add(torch.sigmoid(gate_o) * torch.tanh(c))
            cs.add(c)
        return hs.all.index_select(0, back)

    for name, buffered in (("by levels, cat", False), ("by levels, buffer", True)):
        yield name, step_of(parameters, lambda buffered=buffered: forward(buffered), n * v, h)


def nary_variants(sizes):
    n, v, i, h = (sizes[key] for key in "NVIH")
    children = binary_children(n, v)
    levels = levels_of(children)
    order = [node for level in levels for node in level]
    row = {node: k for k, node in enumerate(order)}
    index, back = torch.tensor(order), torch.tensor([row[node] for node in range(n * v)])
    slots = [[torch.tensor([row[children[node][k]] for node in nodes if children[node]], dtype=torch.int64)
              for k in range(2)] for nodes in levels]  # above the leaves every node has two children
    x = torch.randn(n * v, i, requires_grad=True)
    w, u, b = uniform(4 * h, i), uniform(5 * h, 2 * h), uniform(4 * h)
    parameters = [x, w, u, b]

    def forward(buffered):
        z = linear(x.index_select(0, index), w, b)
        hs, cs = States(x.new_zeros(0, h), n * v, buffered), States(x.new_zeros(0, h), n * v, buffered)
        first = 0
        for nodes, (left, right) in zip(levels, slots):
            gate_i, gate_f, gate_g, gate_o = z[first:first + len(nodes)].chunk(4, 1)
            first += len(nodes)
            kept = 0
            if len(left):
                more = linear(torch.cat([hs.rows(left), hs.rows(right)], 1), u).chunk(5, 1)
                kept = (torch.sigmoid(gate_f + more[1]) * cs.rows(left) +
                        torch.sigmoid(gate_f + more[2]) * cs.rows(right))
                gate_i, gate_g, gate_o = gate_i + more[0], gate_g + more[3], gate_o + more[4]
            c = torch.sigmoid(gate_i) * torch.tanh(gate_g) + kept
            hs.add(torch.sigmoid(gate_o) * torch.tanh(c))
            cs.add(c)
        return hs.all.index_select(0, back)

    for name, buffered in (("by levels, cat", False), ("by levels, buffer", True)):
        yield name, step_of(parameters, lambda buffered=buffered: forward(buffered), n * v, h)


def graph_variants(sizes):
    n, v, i, h = (sizes[key] for key in "NVIH")
    neighbours, places = graph_neighbours(n, v)
    levels = levels_of([[end for end in ends if places[end] < places[node]]
                        for node, ends in enumerate(neighbours)])
    order = [node for level in levels for node in level]
    row = {node: k for k, node in enumerate(order)}
    edges = edges_of(levels, neighbours,
                     lambda node, end: row[end] + (n * v if places[end] < places[node] else 0))
    before = edges_of(levels, neighbours, lambda _, end: row[end])
    index, back = torch.tensor(order), torch.tensor([row[node] for node in range(n * v)])
    x = torch.randn(n * v, i, requires_grad=True)
    h0, m0 = ((torch.randn(n * v, h) / 2).requires_grad_() for _ in range(2))
    w, u, near_u, b = uniform(4 * h, i), uniform(4 * h, h), uniform(4 * h, h), uniform(4 * h)
    parameters = [x, h0, m0, w, u, near_u, b]

    def forward(buffered):
        old_h, old_m = h0.index_select(0, index), m0.index_select(0, index)
        z_x = linear(x.index_select(0, index), w, b)
        z = z_x + linear(old_h, u)
        u_f, u_rest = near_u[h:2 * h], torch.cat([near_u[:h], near_u[2 * h:]])
        sent = linear(old_h, u_f)
        hs, ms = States(old_h, n * v, buffered), States(old_m, n * v, buffered)
        for level, ends in zip(edges, before):
            rows = slice(level.first, level.first + level.count)
            near = summed(hs.rows(level.other), level.own, level.count) / 6
            own = z[rows]
            gates = torch.cat([own[:, :h], own[:, 2 * h:]], 1) + linear(near, u_rest)
            gate_i, gate_g, gate_o = gates.chunk(3, 1)
            forget = torch.sigmoid(z_x[rows, h:2 * h].index_select(0, level.own) + sent.index_select(0, ends.other))
            kept = summed(forget * ms.rows(level.other), level.own, level.count) / 6
            m = kept + torch.sigmoid(own[:, h:2 * h]) * old_m[rows] + torch.sigmoid(gate_i) * torch.tanh(gate_g)
            hs.add(torch.tanh(torch.sigmoid(gate_o) * m))
            ms.add(m)
        return hs.all[n * v:].index_select(0, back)

    for name, buffered in (("by levels, cat", False), ("by levels, buffer", True)):
        yield name, step_of(parameters, lambda buffered=buffered: forward(buffered), n * v, h)


VARIANTS = {"train/tree_lstm": child_sum_variants, "train/nary_tree_lstm": nary_variants,
            "train/graph_lstm": graph_variants}
