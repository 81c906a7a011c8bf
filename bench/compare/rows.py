# SPDX-License-Identifier: MIT
"""The rows that are compared: their names, what is timed, and in which unit they are shown.

Measures nothing. A row's name is that of our Google Benchmark, and what peers are asked for.
"""

import re

SHAPES = ((64, 1, 64, 64), (64, 32, 128, 128), (64, 32, 256, 256), (100, 64, 512, 512),
          (128, 16, 1024, 1024))  # T time steps, N batch, I input size, H hidden size
GATES = {"lstm": 4, "gru": 3, "rnn": 1, "user_cell": 4, "op_by_op": 4}
GRID_HIDDEN = (32, 64)  # images of 28 x 28, N 32, I 16
STRUCTURES = {"tree_lstm": (32, 40, 128, 128), "nary_tree_lstm": (32, 40, 128, 128),
              "graph_lstm": (8, 300, 64, 64)}  # N trees or graphs, V nodes of each, I, H
# Columns of products for each node, in H, besides the four of the input: structures_bench.cpp.
HIDDEN_COLUMNS = {"tree_lstm": 2.5, "nary_tree_lstm": 5, "graph_lstm": 8}
INFER_HIDDEN = (16, 32, 40, 64, 128)
RAGGED = {"ragged/full": (128, 32, 128, 128), "ragged/lstm": (128, 32, 128, 128), "ragged/words": (60, 800, 64, 128)}


def all_rows():
    """Every row, in the order of the table."""
    rows = []
    for threads in (1, 2):
        for kind in ("lstm", "gru", "rnn"):
            rows += [train_row(kind, shape, threads) for shape in SHAPES]
        for shape in SHAPES:  # in turn: what peers do is the same work for both
            rows += [train_row(kind, shape, threads) for kind in ("user_cell", "op_by_op")]
    rows += [f"grid/{kind}/S:28/N:32/I:16/H:{hidden}/threads:1" for hidden in GRID_HIDDEN
             for kind in ("md_lstm", "md_lstm_by_cell")]
    rows += [structure_row(kind, shape) for kind, shape in STRUCTURES.items()]
    rows += [f"{kind}/T:{t}/N:{n}/I:{i}/H:{h}/threads:1" for kind, (t, n, i, h) in RAGGED.items()]
    rows += [f"charlm/train/threads:{threads}" for threads in (1, 2)]
    rows += ["charlm/sample", "charlm/sample_stepper", "charlm/sample_stepper_bf16"]
    rows += [f"infer/{kind}/H:{hidden}" for hidden in INFER_HIDDEN for kind in ("lstm", "lstm_bf16")]
    return rows + ["memory/lstm/T:1000/N:32/I:256/H:256"]


def train_row(kind, shape, threads):
    steps, batch, inputs, hidden = shape
    return f"train/{kind}/T:{steps}/N:{batch}/I:{inputs}/H:{hidden}/threads:{threads}"


def structure_row(kind, shape):
    count, nodes, inputs, hidden = shape
    return f"train/{kind}/N:{count}/V:{nodes}/I:{inputs}/H:{hidden}/threads:1"


def sizes(row):
    """{"T": 64, ...} of a row's name."""
    return {key: int(number) for key, number in re.findall(r"(\w+):(\d+)", row)}


def lengths(kind, steps, batch):
    """The lengths of a batch of ragged/KIND; bench/ragged_bench.cpp has the same."""
    if kind == "ragged/words":  # 1 to 9 letters, and one word of T
        return [steps] + [1 + n * 37 % 9 for n in range(1, batch)]
    if kind == "ragged/lstm":  # uniform in [T/4, T]
        return [steps // 4 + n * 37 % batch * (steps - steps // 4) // (batch - 1) for n in range(batch)]
    return [steps] * batch


def is_memory(row):
    return row.startswith("memory/")


OURS_ALONE = (("train/op_by_op/", "train/user_cell/"), ("charlm/sample_stepper_bf16", "charlm/sample"),
              ("charlm/sample_stepper", "charlm/sample"), ("infer/lstm_bf16/", "infer/lstm/"))


def peer_row(row):
    """What a peer is asked for where a way of writing a row is ours alone: without functors, its own cell is written
    op by op; without a Stepper, a step is a step."""
    for ours, theirs in OURS_ALONE:
        row = row.replace(ours, theirs)
    return row


def quantity(row):
    """The measured quantity that the table shows: CPU time, which load moves least, for one thread."""
    if is_memory(row):
        return "mib"
    return "wall" if sizes(row).get("threads") == 2 else "cpu"


def shown(row, value):
    """A measured value with its unit: 9.84 ms, 305 ns, 481 MiB."""
    if value is None:
        return "-"
    if is_memory(row):
        return f"{value:.0f} MiB"
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9)):
        if value * factor >= 1 or unit == "ns":
            number = value * factor
            return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"
    return "-"


def rate(row, value):
    """Work per second from seconds per step: GFLOP/s, tokens/s or samples/s; "" for memory.

    FLOPs are those of the matrix products, forward and for the gradients of weights, h and xs:
    3 x 2TN x G x H(I + H).
    """
    if value is None or is_memory(row):
        return ""
    if row.startswith("train/"):
        s, kind = sizes(row), row.split("/")[1]
        if kind in STRUCTURES:
            flops = 3 * 2 * s["N"] * s["V"] * s["H"] * (4 * s["I"] + HIDDEN_COLUMNS[kind] * s["H"])
        else:
            flops = 2 * s["T"] * s["N"] * GATES[kind] * s["H"] * 3 * (s["I"] + s["H"])
        return f"{flops / value / 1e9:.0f} GFLOP/s"
    if row.startswith("grid/"):
        s = sizes(row)
        flops = 6 * s["S"]**2 * s["N"] * 5 * s["H"] * (s["I"] + 2 * s["H"])
        return f"{flops / value / 1e9:.0f} GFLOP/s"
    if row.startswith("ragged/"):  # of the real steps
        s, kind = sizes(row), "/".join(row.split("/")[:2])
        gates = 3 if kind == "ragged/words" else 4
        flops = 6 * sum(lengths(kind, s["T"], s["N"])) * gates * s["H"] * (s["I"] + s["H"])
        return f"{flops / value / 1e9:.0f} GFLOP/s"
    if row.startswith("charlm/train"):
        return f"{100 * 32 / value / 1e3:.1f}k tokens/s"
    if row.startswith("charlm/sample"):
        return f"{1 / value / 1e3:.1f}k steps/s"
    return f"{1 / value / 1e6:.2f}M samples/s"
