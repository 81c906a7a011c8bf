# SPDX-License-Identifier: MIT
"""The trees and graphs of bench/structures_bench.cpp, for peers in Python.

N trees or graphs, V nodes of each.
"""


class Numbers:
    """The generator of structures_bench.cpp."""

    def __init__(self):
        self.state = 1

    def below(self, end):
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return (self.state >> 8) % end


def tree_children(n, v):
    """Lists of the children of each node: the parent of a node is any later one of its tree."""
    numbers, children = Numbers(), [[] for _ in range(n * v)]
    for tree in range(n):
        for node in range(v - 1):
            children[tree * v + node + 1 + numbers.below(v - 1 - node)].append(tree * v + node)
    return children


def binary_children(n, v):
    """Binary trees: a node takes the last two nodes that have no parent yet, or none."""
    numbers, children = Numbers(), []
    for tree in range(n):
        waiting = []
        for node in range(v):
            joins = len(waiting) >= 2 and (len(waiting) > v - node or numbers.below(2) == 0)
            children.append([waiting.pop(), waiting.pop()] if joins else [])
            waiting.append(tree * v + node)
    return children


def graph_neighbours(n, v):
    """The neighbours of each node, and the place of each node in the order of its graph."""
    numbers, neighbours, places = Numbers(), [], []
    for graph in range(n):
        for node in range(v):
            neighbours.append([graph * v + (node + sign * step) % v
                               for step in (1, 20, 21) for sign in (1, -1)])
        order = list(range(v))
        for k in range(v - 1, 0, -1):
            other = numbers.below(k + 1)
            order[k], order[other] = order[other], order[k]
        place = [0] * v
        for k, node in enumerate(order):
            place[node] = k
        places += place
    return neighbours, places


def levels_of(before):
    """Nodes by level: a node stands one level above the highest node of before[node]."""
    level, todo = [None] * len(before), list(range(len(before)))
    while todo:
        node = todo[-1]
        open_nodes = [other for other in before[node] if level[other] is None]
        if open_nodes:
            todo += open_nodes
            continue
        todo.pop()
        level[node] = 1 + max((level[other] for other in before[node]), default=-1)
    result = [[] for _ in range(max(level) + 1)]
    for node, number in enumerate(level):
        result[number].append(node)
    return result
