# SPDX-License-Identifier: MIT
"""A peer: the rows of bench/compare that DyNet has, by its Python package. One thread: it has no other.

A graph is built in every step, as DyNet means it. Trains nothing to any end: it times steps. Rows come as arguments or,
one per line, on standard input; each is answered with one line of JSON (peer_rows.py).
"""

import sys
import types

import dynet_config

dynet_config.set(mem=1024, random_seed=1)

import dynet as dy  # noqa: E402  (reads the settings above)
import numpy as np  # noqa: E402

from peer_rows import Answers  # noqa: E402
from structures_data import binary_children, tree_children  # noqa: E402

SYMBOLS, EMBEDDING, HIDDEN, STEPS, STREAMS = 65, 64, 256, 100, 32  # the character model; two layers
BUILDERS = {"train/lstm": dy.VanillaLSTMBuilder, "train/gru": dy.GRUBuilder,
            "train/rnn": dy.SimpleRNNBuilder}


def random(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def check_gradients(model):
    """Raises unless every parameter has a gradient that is finite and not all zero."""
    for parameter in model.parameters_list():
        grad = parameter.grad_as_array()
        if not np.isfinite(grad).all() or not np.abs(grad).max() > 0:
            raise RuntimeError("a parameter got no gradient; its time would say nothing")


def training_step(kind, sizes):
    """Forward and backward from a dense gradient of every hidden state, without the gradient of xs: DyNet's inputs
    have none."""
    model = dy.ParameterCollection()
    builder = BUILDERS[kind](1, sizes["I"], sizes["H"], model)
    shape = (sizes["I"], sizes["N"])
    xs = [np.asfortranarray(random(*shape)) for _ in range(sizes["T"])]
    dys = [np.asfortranarray(random(sizes["H"], sizes["N"])) for _ in range(sizes["T"])]

    def step():
        dy.renew_cg()
        hs = builder.initial_state().transduce([dy.inputTensor(x, batched=True) for x in xs])
        products = [dy.dot_product(h, dy.inputTensor(d, batched=True)) for h, d in zip(hs, dys)]
        loss = dy.sum_batches(dy.esum(products))
        loss.forward()
        loss.backward()

    step()
    check_gradients(model)
    return [(BUILDERS[kind].__name__, step)]


class CharLm:
    def __init__(self):
        self.parameters = dy.ParameterCollection()
        self.embedding = self.parameters.add_lookup_parameters((SYMBOLS, EMBEDDING))
        self.lstm = dy.VanillaLSTMBuilder(2, EMBEDDING, HIDDEN, self.parameters)
        self.w = self.parameters.add_parameters((SYMBOLS, HIDDEN))
        self.b = self.parameters.add_parameters((SYMBOLS,))

    def logits(self, h):
        return dy.affine_transform([self.b, self.w, h])


def charlm_train():
    """An update: T 100, N 32, gradients clipped to the norm 5; the state carried and cut off."""
    model = CharLm()
    adam = dy.AdamTrainer(model.parameters, alpha=2e-3)
    adam.set_clip_threshold(5.0)
    symbols = np.random.default_rng(1).integers(SYMBOLS, size=(STEPS + 1, STREAMS)).tolist()
    carried = types.SimpleNamespace(state=None)

    def step():
        dy.renew_cg()
        state = model.lstm.initial_state()
        if carried.state is not None:
            state = state.set_s([dy.inputTensor(part, batched=True) for part in carried.state])
        losses = []
        for now, following in zip(symbols, symbols[1:]):
            state = state.add_input(dy.lookup_batch(model.embedding, now))
            losses.append(dy.pickneglogsoftmax_batch(model.logits(state.output()), following))
        loss = dy.sum_batches(dy.esum(losses)) / (STEPS * STREAMS)
        loss.forward()
        carried.state = [part.npvalue() for part in state.s()]
        loss.backward()
        adam.update()

    step()
    step()
    return [("VanillaLSTMBuilder, Adam", step)]


def charlm_sample():
    """One symbol in, the next one drawn from the softmax of its logits."""
    model = CharLm()
    generator = np.random.default_rng(1)
    now = types.SimpleNamespace(symbol=0, state=None)

    def step():
        dy.renew_cg()
        state = model.lstm.initial_state()
        if now.state is not None:
            state = state.set_s([dy.inputTensor(part) for part in now.state])
        state = state.add_input(dy.lookup(model.embedding, now.symbol))
        chances = dy.softmax(model.logits(state.output()))
        cumulative = np.cumsum(chances.npvalue())
        now.state = [part.npvalue() for part in state.s()]
        now.symbol = min(int(np.searchsorted(cumulative, generator.random() * cumulative[-1])),
                         SYMBOLS - 1)

    return [("VanillaLSTMBuilder, one step", step)]


class TreeLstm:
    """A child-sum or an N-ary Tree-LSTM, one node after the other; DyNet's automatic batching puts nodes together."""

    def __init__(self, arity, inputs, hidden):
        self.model, self.arity = dy.ParameterCollection(), arity
        gates = ("i", "g", "o", *(f"f{k}" for k in range(arity))) if arity else ("i", "g", "o", "f")
        self.w = {g: self.model.add_parameters((hidden, inputs)) for g in "ifgo"}
        self.b = {g: self.model.add_parameters((hidden,)) for g in "ifgo"}
        self.u = {g: [self.model.add_parameters((hidden, hidden)) for _ in range(arity or 1)] for g in gates}

    def z(self, gate, x, hs, row=None):
        terms = [self.b[gate], self.w[gate], x]
        for u, h in zip(self.u[row or gate], hs):
            terms += [u, h]
        return dy.affine_transform(terms)

    def node(self, x, hs, cs):
        total = [dy.esum(hs)] if hs and not self.arity else hs
        i, g, o = (self.z(gate, x, total) for gate in "igo")
        c = dy.cmult(dy.logistic(i), dy.tanh(g))
        if hs:
            reads = [(f"f{k}", hs) for k in range(self.arity)] if self.arity else [("f", [h]) for h in hs]
            forget = [dy.logistic(self.z("f", x, below, row)) for row, below in reads]
            c = dy.esum([c] + [dy.cmult(f, kept) for f, kept in zip(forget, cs)])
        return dy.cmult(dy.logistic(o), dy.tanh(c)), c


def tree_step(kind, sizes):
    """Forward and backward from a dense gradient of every h, without the gradient of x."""
    count, nodes = sizes["N"], sizes["V"]
    arity = 2 if kind == "train/nary_tree_lstm" else 0
    children = (binary_children if arity else tree_children)(count, nodes)
    lstm = TreeLstm(arity, sizes["I"], sizes["H"])
    xs, dhs = random(count * nodes, sizes["I"]), random(count * nodes, sizes["H"])

    def step():
        dy.renew_cg(autobatching=True)
        hs, cs, terms = [], [], []
        for node, below in enumerate(children):  # children stand before their parents
            h, c = lstm.node(dy.inputVector(xs[node]), [hs[k] for k in below], [cs[k] for k in below])
            hs.append(h)
            cs.append(c)
            terms.append(dy.dot_product(h, dy.inputVector(dhs[node])))
        loss = dy.esum(terms)
        loss.forward()
        loss.backward()

    step()
    check_gradients(lstm.model)
    return [("node by node, automatic batching", step)]


def variants(kind, sizes):
    """The ways to compute a row: pairs of a name and a step; none where the row is not for us."""
    if sizes["threads"] != 1:
        return []
    if kind in BUILDERS:
        return training_step(kind, sizes)
    if kind in ("train/tree_lstm", "train/nary_tree_lstm"):
        return tree_step(kind, sizes)
    if kind == "charlm/train":
        return charlm_train()
    if kind == "charlm/sample":
        return charlm_sample()
    return []


def main():
    if "-h" in sys.argv or "--help" in sys.argv:
        print("usage: dynet_peer.py [ROW...]     without rows: one per line on standard input\n\n" +
              __doc__)
        return
    Answers(variants).serve("DyNet", str(dy.__version__), sys.argv[1:] or sys.stdin)


if __name__ == "__main__":
    main()
