# SPDX-License-Identifier: MIT
"""Trains an encoder-decoder with additive attention in PyTorch: the peer of examples/seq2seq, tasks dates and translate.

Draws no pictures, keeps no checkpoint, searches greedily and runs on the CPU only.

Bidirectional GRU over packed sequences -> tanh of a linear map of both last states -> GRU that looks at the source before
each step (Bahdanau et al. 2015). PyTorch's own initial weights; Adam. The keys of the source, the embeddings and the
output layer are calculated once for all steps.
S source steps, T target steps, N batch, H units, E embedding, V symbols of the target.
"""

import argparse
import copy
import math
import sys
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import seq2seq_data as data
import torch_common as common

AT_ONCE = 100  # sentences in one call when measuring
MOST_VALIDATED = 2000

PRESETS = {
    "dates": {"source_unit": "character", "hidden": 64, "embedding": 32, "lr": 0.003, "updates": 3000},
    "translate": {"source_unit": "word", "hidden": 128, "embedding": 64, "lr": 0.001, "updates": 4000},
}


class Translator(nn.Module):
    """The model; attention is v . tanh(W_q q + W_k s + b)."""

    def __init__(self, source_symbols, target_symbols, embedding, hidden):
        super().__init__()
        self.source_embedding = nn.Embedding(source_symbols, embedding)
        self.encoder = nn.GRU(embedding, hidden, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden, hidden)
        self.target_embedding = nn.Embedding(target_symbols, embedding)
        self.cell = nn.GRUCell(embedding + 2 * hidden, hidden)
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.key = nn.Linear(2 * hidden, hidden)
        self.v = nn.Linear(hidden, 1, bias=False)
        self.output = nn.Linear(3 * hidden + embedding, target_symbols)

    def encode(self, source, lengths):
        """source [S, N], lengths [N] -> states [N, S, 2H], keys [N, S, H], padding [N, S], first state [N, H]."""
        packed = nn.utils.rnn.pack_padded_sequence(self.source_embedding(source), lengths, enforce_sorted=False)
        states, last = self.encoder(packed)
        states = nn.utils.rnn.pad_packed_sequence(states)[0].transpose(0, 1).contiguous()
        padding = torch.arange(states.shape[1])[None, :] >= lengths[:, None]
        h = torch.tanh(self.bridge(torch.cat([last[0], last[1]], -1)))
        return states, self.key(states), padding, h

    def step(self, e, h, states, keys, padding):
        """e [N, E], h [N, H] -> features [N, 3H + E] and the next h."""
        scores = self.v(torch.tanh(keys + self.query(h)[:, None, :])).squeeze(-1)
        weights = torch.softmax(scores.masked_fill(padding, -math.inf), -1)
        context = torch.bmm(weights[:, None, :], states).squeeze(1)
        h = self.cell(torch.cat([e, context], -1), h)
        return torch.cat([h, context, e], -1), h

    def forward(self, source, lengths, inputs):
        """Logits [T, N, V] with the truth fed: inputs [T, N], the start symbol first."""
        states, keys, padding, h = self.encode(source, lengths)
        features = []
        for e in self.target_embedding(inputs).unbind(0):
            one, h = self.step(e, h, states, keys, padding)
            features.append(one)
        return self.output(torch.stack(features))

    @torch.no_grad()
    def translate(self, source, lengths, longest):
        """The likeliest symbol at each step: a list of ids for each sentence."""
        states, keys, padding, h = self.encode(source, lengths)
        symbols = torch.full((source.shape[1],), data.START)
        done = torch.zeros(source.shape[1], dtype=torch.bool)
        said = []
        for _ in range(longest):
            features, h = self.step(self.target_embedding(symbols), h, states, keys, padding)
            symbols = self.output(features).argmax(-1)
            said.append(symbols)
            done |= symbols == data.END
            if done.all():
                break
        return torch.stack(said, 1).tolist()


def tensors_of(examples):
    """Examples (source ids, target ids) -> source [S, N], lengths [N], inputs [T, N], targets [T, N]."""
    def padded(rows, value):
        longest = max(map(len, rows))
        return torch.tensor([row + [value] * (longest - len(row)) for row in rows]).t().contiguous()

    lengths = torch.tensor([len(source) for source, _ in examples])
    return (padded([source for source, _ in examples], data.PAD), lengths,
            padded([[data.START] + target for _, target in examples], data.PAD),
            padded([target + [data.END] for _, target in examples], data.IGNORED))


def in_pieces(examples):
    """Places of examples by rising length of the source, AT_ONCE at a time."""
    order = sorted(range(len(examples)), key=lambda i: len(examples[i][0]))
    return [order[i:i + AT_ONCE] for i in range(0, len(order), AT_ONCE)]


@torch.no_grad()
def nats_per_symbol(model, examples):
    total, symbols = 0.0, 0
    for places in in_pieces(examples):
        source, lengths, inputs, targets = tensors_of([examples[i] for i in places])
        logits = model(source, lengths, inputs)
        total += cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").item()
        symbols += int((targets != data.IGNORED).sum())
    return total / symbols


def measure(model, pairs, examples, vocabulary, longest):
    """Likelihood, greedy translations of all, and the time of these."""
    nats = nats_per_symbol(model, examples)
    found = [""] * len(pairs)
    wall, cpu = time.perf_counter(), time.process_time()
    for places in in_pieces(examples):
        source, lengths, _, _ = tensors_of([examples[i] for i in places])
        for place, ids in zip(places, model.translate(source, lengths, longest)):
            found[place] = "".join(vocabulary.decode(ids))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    expected = [target for _, target in pairs]
    exact = sum(a == b for a, b in zip(found, expected)) / len(pairs)
    return {"pairs": len(pairs), "nats_per_symbol": nats, "exact_match": exact,
            "bleu": data.character_bleu(found, expected), "translate_seconds": wall,
            "translate_cpu_seconds": cpu}, found


def train(model, examples, validation, args):
    """The updates, and the weights that did best on validation; returns figures of the training."""
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    batches = data.batches_of(examples, args.batch, args.seed)
    best, best_update, weights, recent = math.inf, 0, None, []
    wall = cpu = 0.0
    for first in range(0, args.updates, args.validate_every):
        last = min(first + args.validate_every, args.updates)
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        for _ in range(first, last):
            source, lengths, inputs, targets = tensors_of(next(batches))
            logits = model(source, lengths, inputs)
            loss = cross_entropy(logits.flatten(0, 1), targets.flatten())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if args.clip:
                nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            optimizer.step()
            recent = (recent + [loss.item()])[-100:]
        wall += time.perf_counter() - wall_before
        cpu += time.process_time() - cpu_before
        nats = nats_per_symbol(model, validation)
        if not math.isfinite(nats):
            sys.exit(f"training diverged: validation after update {last} gives {nats}; lower --lr or set --clip")
        print(f"update {last:6}  train {sum(recent) / len(recent):.4f}  validation {nats:.4f}", flush=True)
        if nats < best:
            best, best_update, weights = nats, last, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    return {"train_loss": sum(recent) / len(recent), "best_validation_nats": best, "best_update": best_update,
            "train_seconds": wall, "train_cpu_seconds": cpu, "updates": args.updates,
            "updates_per_second": args.updates / wall}


def parse_arguments():
    parser = argparse.ArgumentParser(description="PyTorch peer of examples/seq2seq.")
    count, number = common.positive_int, common.positive_float
    parser.add_argument("task", choices=sorted(PRESETS))
    parser.add_argument("--data", required=True, metavar="FILE", help="source TAB target [TAB anything], UTF-8")
    parser.add_argument("--test", metavar="FILE", help="pairs to measure with; else a share that is held out")
    parser.add_argument("--source-unit", choices=["character", "word"], help="words for translate")
    parser.add_argument("--hidden", type=count, metavar="H", help="units of a direction")
    parser.add_argument("--embedding", type=count, metavar="E")
    parser.add_argument("--updates", type=count, metavar="N")
    parser.add_argument("--lr", type=number, help="Adam's learning rate")
    parser.add_argument("--batch", type=count, default=32, metavar="N", help="pairs in an update")
    parser.add_argument("--clip", type=number, default=1.0, metavar="X", help="largest global gradient norm")
    parser.add_argument("--min-count", type=count, default=1, help="rarer units are unknown")
    parser.add_argument("--max-units", type=count, default=20000, help="units of a vocabulary; the commonest")
    parser.add_argument("--max-length", type=count, default=60, help="longer sentences are left out")
    parser.add_argument("--validate-every", type=count, default=500)
    parser.add_argument("--samples", type=int, default=3, help="translations to print")
    parser.add_argument("--seed", type=common.seed_number, default=0, help="of weights and batches")
    parser.add_argument("--threads", type=count, default=1, help="threads of an operation")
    parser.add_argument("--json", type=common.json_path, metavar="FILE", help="write the results")
    args = parser.parse_args()
    for name, value in PRESETS[args.task].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def main():
    args = parse_arguments()
    common.set_threads(args.threads)
    torch.manual_seed(args.seed)
    units = args.source_unit, "character"
    part_of = data.part_of_date if args.task == "dates" else data.part_of_source
    try:
        parts = data.split(data.read_pairs(args.data), part_of, units, args.max_length)
        if args.test:
            side = 1 if args.task == "dates" else 0
            given = data.split(data.read_pairs(args.test), lambda pair: "test", units, args.max_length)["test"]
            tested = {pair[side] for pair in given}
            parts["train"] = [pair for pair in parts["train"] + parts["test"] if pair[side] not in tested]
            parts["validation"] = [pair for pair in parts["validation"] if pair[side] not in tested]
            parts["test"] = given
    except (OSError, ValueError) as error:
        sys.exit(f"cannot read the pairs: {error}")
    empty = [name for name, pairs in parts.items() if not pairs]
    if empty:
        sys.exit(f"no pairs are left for {', '.join(empty)}; give more")
    vocabularies = [data.Vocabulary([data.units_of(pair[side], units[side]) for pair in parts["train"]],
                                    args.min_count, args.max_units) for side in (0, 1)]
    examples = {name: [tuple(vocabulary.encode(data.units_of(text, unit))
                             for text, unit, vocabulary in zip(pair, units, vocabularies))
                       for pair in pairs] for name, pairs in parts.items()}
    model = Translator(len(vocabularies[0]), len(vocabularies[1]), args.embedding, args.hidden)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(common.environment_line())
    print(f"{args.task}: {len(parts['train'])} pairs to learn from, {len(vocabularies[0])} and "
          f"{len(vocabularies[1])} symbols, {parameters} parameters, seed {args.seed}", flush=True)
    figures = train(model, examples["train"], examples["validation"][:MOST_VALIDATED], args)
    measures, found = measure(model, parts["test"], examples["test"], vocabularies[1], 2 * args.max_length + 1)
    print(f"{args.updates} updates in {figures['train_seconds']:.1f} s "
          f"({1e3 / figures['updates_per_second']:.2f} ms each)")
    print(f"{measures['pairs']} held-out pairs: {measures['nats_per_symbol']:.4f} nats per symbol, character BLEU-4 "
          f"{measures['bleu']:.2f}, exact match {100 * measures['exact_match']:.2f} %, "
          f"{1e3 * measures['translate_seconds'] / measures['pairs']:.3f} ms for each translation")
    for place in range(0, len(found), max(1, len(found) // max(1, args.samples))):
        if args.samples:
            print(f"  {parts['test'][place][0]}  ->  {found[place]}   ({parts['test'][place][1]})")
    if args.json:
        common.write_json(args.json, {"settings": vars(args), "environment": common.environment(),
                                      "task": args.task, "seed": args.seed, "parameters": parameters,
                                      **figures, "test": measures})


if __name__ == "__main__":
    main()
