# SPDX-License-Identifier: MIT
"""A peer: the rows of bench/compare in PyTorch, whichever version runs this file.

Trains nothing to any end: it times steps. Rows come as arguments or, one per line, on standard
input; each is answered with one line of JSON, as by the C++ peers (row.h explains).

A training step is forward, then backward from a dense gradient of every hidden state, with the
gradients of weights, biases and xs (of xs not in rows about memory). Where a row can be written in several ways, the
fastest is timed and named. T time steps, N batch, I input size, H hidden size.
"""

import sys
import types
from pathlib import Path

import torch
from torch import nn

import torch_common as common
from peer_rows import Answers, resident_mib
from char_lm_torch import CharLm, cross_entropy
from grid_torch import MdLstm
from lstm_torch import OpByOpLstm
import cells_torch
import structures_torch

sys.path.append(str(Path(__file__).resolve().parent.parent / "compare"))
from rows import lengths  # noqa: E402  # pylint: disable=wrong-import-position

SYMBOLS, EMBEDDING, HIDDEN = 65, 64, 256  # the character model; two layers
RAGGED = {"ragged/full": nn.LSTM, "ragged/lstm": nn.LSTM, "ragged/words": nn.GRU}
LAYERS = {"train/lstm": nn.LSTM, "train/gru": nn.GRU, "train/rnn": nn.RNN}


def use_threads(count):
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def training_step(sizes, layer, forward):
    """The step of a layer; `forward` maps xs [T, N, I] to ys [T, N, H]."""
    xs = torch.randn(sizes["T"], sizes["N"], sizes["I"], requires_grad=sizes["T"] < 1000)
    dys = torch.randn(sizes["T"], sizes["N"], sizes["H"])
    parameters = list(layer.parameters()) + ([xs] if xs.requires_grad else [])

    def step():
        use_threads(sizes["threads"])
        for parameter in parameters:
            parameter.grad = None
        forward(xs).backward(dys)

    return step, parameters


def ragged_variants(kind, sizes):
    """A batch of different lengths: packed, or all steps of all sequences with the padding."""
    layer = RAGGED[kind](sizes["I"], sizes["H"])
    counts = torch.tensor(lengths(kind, sizes["T"], sizes["N"]))

    def packed(xs):
        run = nn.utils.rnn.pack_padded_sequence(xs, counts, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(layer(run)[0], total_length=sizes["T"])[0]

    name = f"nn.{RAGGED[kind].__name__}"
    ways = [(f"{name}, packed", packed)] if min(counts) < sizes["T"] else [(name, lambda xs: layer(xs)[0])]
    for way, forward in ways:
        step, parameters = training_step(sizes, layer, forward)
        step()
        common.check_gradients(parameters)
        yield way, step


class CompiledCellLstm(OpByOpLstm):
    """The cell as one formula given to torch.compile, in a loop over time steps."""

    def __init__(self, layer):
        super().__init__(layer, input_at_once=True)
        # Code of its own: compiled versions are counted per code object, and beyond a small number
        # of them PyTorch goes on without its compiler.
        own = types.FunctionType(self.cell.__code__.replace(), globals())
        self.compiled = torch.compile(own, dynamic=False)

    @staticmethod
    def cell(z, h, c, w_hh):
        i, f, g, o = (z + nn.functional.linear(h, w_hh)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def forward(self, x):
        h = x.new_zeros(x.shape[1], self.w_hh.shape[1])
        c = torch.zeros_like(h)
        states = []
        for z in nn.functional.linear(x, self.w_ih, self.b_ih + self.b_hh).unbind(0):
            h, c = self.compiled(z, h, c, self.w_hh)
            states.append(h)
        return torch.stack(states)


def user_cell_variants(sizes):
    layer = nn.LSTM(sizes["I"], sizes["H"])
    makers = {"op by op": lambda: OpByOpLstm(layer, False),
              "op by op, input at once": lambda: OpByOpLstm(layer, True)}
    if hasattr(torch, "compile"):
        makers["torch.compile of the cell"] = lambda: CompiledCellLstm(layer)
    for name, make in makers.items():
        try:
            module = make()
            step, parameters = training_step(sizes, layer, module)
            step()
            common.check_gradients(parameters)
        except Exception as error:  # a compiler that is absent or fails leaves the other variants
            if "compile" not in name:
                raise
            print(f"torch.compile: {str(error).strip().splitlines()[0]}", file=sys.stderr)
            continue
        yield name, step


def charlm_train_variants(sizes):
    """An update: T 100, N 32, gradients clipped to the norm 5; the state carried and detached."""
    symbols = torch.randint(SYMBOLS, (101, 32))
    for name, settings in (("nn.LSTM, Adam", {}), ("nn.LSTM, fused Adam", {"fused": True})):
        model = CharLm(SYMBOLS, HIDDEN, 2, EMBEDDING)
        try:
            optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, **settings)
        except (TypeError, RuntimeError):  # old versions have no fused Adam, or none on the CPU
            continue
        carried = types.SimpleNamespace(state=None)

        def step(model=model, optimizer=optimizer, carried=carried):
            use_threads(sizes["threads"])
            logits, state = model(symbols[:-1], carried.state)
            carried.state = tuple(part.detach() for part in state)
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(logits, symbols[1:]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()

        try:
            step()
        except RuntimeError:
            if not settings:
                raise
            continue
        common.check_gradients(model.parameters())
        yield name, step


def charlm_sample_variants():
    """One symbol in, the next one drawn from the softmax of its logits."""
    model = CharLm(SYMBOLS, HIDDEN, 2, EMBEDDING)
    cells = [nn.LSTMCell(EMBEDDING, HIDDEN), nn.LSTMCell(HIDDEN, HIDDEN)]
    now = types.SimpleNamespace(symbol=torch.zeros(1, 1, dtype=torch.int64), state=None,
                                states=[None, None])

    @torch.inference_mode()
    def layer_step():
        use_threads(1)
        logits, now.state = model(now.symbol, now.state)
        now.symbol = torch.multinomial(torch.softmax(logits[0], 1), 1)

    @torch.inference_mode()
    def cell_step():
        use_threads(1)
        h = model.embedding(now.symbol[0])
        for k, cell in enumerate(cells):
            h, c = now.states[k] = cell(h, now.states[k])
        now.symbol = torch.multinomial(torch.softmax(model.head(h), 1), 1)

    return [("nn.LSTM, one step", layer_step), ("nn.LSTMCell", cell_step)]


def infer_variants(hidden):
    """The audio model: an LSTM on one number, then a linear unit; one number out per call."""
    layer, cell, head = nn.LSTM(1, hidden), nn.LSTMCell(1, hidden), nn.Linear(hidden, 1)
    now = types.SimpleNamespace(out=0.0, state=None, cell_state=None)

    @torch.inference_mode()
    def layer_step():
        use_threads(1)
        y, now.state = layer(torch.full((1, 1, 1), 0.5 - 0.1 * now.out), now.state)
        now.out = head(y).item()

    @torch.inference_mode()
    def cell_step():
        use_threads(1)
        now.cell_state = cell(torch.full((1, 1), 0.5 - 0.1 * now.out), now.cell_state)
        now.out = head(now.cell_state[0]).item()

    return [("nn.LSTM, one step", layer_step), ("nn.LSTMCell", cell_step)]


def grid_variants(kind, sizes):
    """An MD-LSTM on images: cell by cell, or by anti-diagonals in several ways."""
    model = MdLstm(sizes["I"], sizes["H"])
    shape = (sizes["S"], sizes["S"], sizes["N"])
    xs = torch.randn(*shape, sizes["I"], requires_grad=True)
    dys = torch.randn(*shape, sizes["H"])
    parameters = [*model.parameters(), xs]
    ways = {"cell by cell": model.by_cell}
    if kind == "grid/md_lstm":
        ways = {"anti-diagonals": model.diagonals, "skewed": model.skewed}
        if hasattr(torch, "compile"):
            ways["skewed, torch.compile of the step"] = model.skewed
    for name, way in ways.items():
        if "compile" in name:
            model.compile_step()

        def step(way=way):
            use_threads(sizes["threads"])
            for parameter in parameters:
                parameter.grad = None
            model.way = way
            model(xs).backward(dys)

        try:
            step()
            common.check_gradients(parameters)
        except Exception as error:  # as for a user's cell
            if "compile" not in name:
                raise
            print(f"torch.compile: {str(error).strip().splitlines()[0]}", file=sys.stderr)
            continue
        yield name, step


def variants(kind, sizes):
    """The ways to compute a row: pairs of a name and a step; none where the row is not for us."""
    use_threads(sizes["threads"])
    if kind in LAYERS:
        layer = LAYERS[kind](sizes["I"], sizes["H"])
        step, parameters = training_step(sizes, layer, lambda xs: layer(xs)[0])
        if sizes["T"] < 1000:  # a row about memory is left to its own first step
            step()
            common.check_gradients(parameters)
        return [(f"nn.{LAYERS[kind].__name__}", step)]
    if kind in RAGGED:
        return ragged_variants(kind, sizes)
    if kind in ("train/user_cell", "train/op_by_op"):
        return user_cell_variants(sizes)
    if kind in ("grid/md_lstm", "grid/md_lstm_by_cell"):
        return grid_variants(kind, sizes)
    if kind in structures_torch.VARIANTS:
        return structures_torch.VARIANTS[kind](sizes)
    if kind in cells_torch.VARIANTS:
        return cells_torch.VARIANTS[kind](sizes)
    if kind == "charlm/train":
        return charlm_train_variants(sizes)
    if kind == "charlm/sample":
        return charlm_sample_variants()
    if kind == "infer/lstm":
        return infer_variants(sizes["H"])
    return []


def memory(kind, sizes):
    """memory/X: growth of the resident memory at its peak over one step of train/X, in MiB.

    A step of two time steps has loaded all code before. The process must be fresh: memory that
    earlier rows left with the allocator would be used again and not be seen.
    """
    kind = "train" + kind[len("memory"):]
    for _, step in variants(kind, {**sizes, "T": 2}):
        step()
    for name, step in variants(kind, sizes):
        before = resident_mib("VmRSS")
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
        step()
        return {"variant": name, "mib": resident_mib("VmHWM") - before}
    return {"unsupported": True}


def main():
    if "-h" in sys.argv or "--help" in sys.argv:
        print("usage: torch_peer.py [ROW...]     without rows: one per line on standard input\n\n" +
              __doc__)
        return
    torch.set_num_interop_threads(1)
    torch.manual_seed(1)
    version = f"{torch.__version__}, BLAS {common.environment()['blas']}"
    Answers(variants, memory).serve("PyTorch", version, sys.argv[1:] or sys.stdin)


if __name__ == "__main__":
    main()
