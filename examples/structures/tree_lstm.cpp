// SPDX-License-Identifier: MIT
// tree_lstm: the value of logical expressions, by a Tree-LSTM and by an LSTM that reads the same
// symbols one after the other (in prefix order). Both learn only from the value of the whole.
// Tai, Socher & Manning 2015, arXiv:1503.00075
// Expect that the Tree-LSTM is right on nearly all expressions, also on longer ones than it has
// trained on, and the last line "the tree has learned logic".
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "examples/common/options.h"
#include "examples/common/output.h"
#include "examples/common/progress.h"
#include "examples/structures/expressions.h"
#include "tapeloop/autograd/files/files.h"
#include "tapeloop/tapeloop.h"

namespace {

using namespace structures;
using namespace tapeloop;

// The model on trees. nodes() gives two logits, false and true, for every node.
struct TreeModel {
  nn::Embedding embed;
  nn::NaryTreeLstm tree;
  nn::Linear head;
  TreeModel(std::int64_t hidden, Random& random)
      : embed(kSymbols, hidden, random),
        tree({.input = hidden, .hidden = hidden, .arity = 2}, random),
        head(hidden, 2, random) {}
  Var nodes(const Forest& forest) const {  // -> [V, 2]
    const Tensor symbols =
        Tensor::from({static_cast<std::int64_t>(forest.symbols.size())}, forest.symbols);
    return head(tree(embed(symbols), Schedule::trees_by_children(forest.children, 2)).h());
  }
  Var operator()(const Forest& forest) const {  // -> [N, 2]
    const auto count = static_cast<std::int64_t>(forest.roots.size());
    return take(nodes(forest), Tensor::from({count}, forest.roots), 0);
  }
  void visit(nn::Visitor& v) const { v("embed", embed), v("tree", tree), v("head", head); }
};

// The model on sequences: an LSTM, whose last state is the answer.
struct SequenceModel {
  nn::Embedding embed;
  nn::Lstm lstm;
  nn::Linear head;
  SequenceModel(std::int64_t hidden, Random& random)
      : embed(kSymbols, hidden, random),
        lstm({.input = hidden, .hidden = hidden}, random),
        head(hidden, 2, random) {}
  Var operator()(const Forest& forest) const {  // -> [N, 2]
    const auto count = static_cast<std::int64_t>(forest.expressions.size());
    std::vector<std::int64_t> lengths;
    for (const Expression& e : forest.expressions) lengths.push_back(e.nodes());
    const std::int64_t steps = *std::max_element(lengths.begin(), lengths.end());
    std::vector<std::int64_t> symbols(static_cast<std::size_t>(steps * count));
    for (std::int64_t n = 0; n < count; ++n) {
      const Expression& e = forest.expressions[static_cast<std::size_t>(n)];
      for (std::int64_t t = 0; t < e.nodes(); ++t) {
        symbols[static_cast<std::size_t>(t * count + n)] = e.symbols[static_cast<std::size_t>(t)];
      }
    }
    const auto [ys, last] = lstm(embed(Tensor::from({steps, count}, symbols)), {}, lengths);
    return head(select_index(last.h(), 0, 0));
  }
  void visit(nn::Visitor& v) const { v("embed", embed), v("lstm", lstm), v("head", head); }
};

Tensor targets_of(const Forest& forest) {
  return Tensor::from({static_cast<std::int64_t>(forest.targets.size())}, forest.targets);
}

template <class Model>
double update(const Model& model, optim::Adam& adam, const Forest& forest) {
  Tape tape;
  const Var loss = cross_entropy(model(forest), targets_of(forest));
  tape.backward(loss);
  optim::clip_grad_norm(adam.parameters(), 1.0);
  adam.step();
  adam.zero_grad();
  return loss.item();
}

// How many of n rows of logits [n, 2] are larger for the right answer.
std::int64_t right_answers(const Var& logits, const std::vector<std::int64_t>& targets) {
  const std::vector<std::int64_t> found = argmax(logits.value()).to_vector<std::int64_t>();
  std::int64_t right = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) right += found[i] == targets[i] ? 1 : 0;
  return right;
}

// One expression as a tree. The colour shows the model's answer for each part, from blue (0) to
// orange (1). A part with a wrong answer has a red frame.
std::string picture(const TreeModel& model, const Expression& e) {
  constexpr const char* kNames[] = {"0", "1", "and", "or", "xor"};
  const Forest forest({e});
  const Tensor ones = softmax(model.nodes(forest), 1).value().cpu();  // [V, 2]
  const auto count = static_cast<std::size_t>(e.nodes());
  std::vector<std::int64_t> parents(count, -1);
  std::vector<double> answers;  // -1 to 1
  nn::TreePictureOptions options{
      .title = "The value of each part of an expression, by the Tree-LSTM",
      .note = "1: true, -1: false, red frame: wrong; it learned from whole expressions",
      .labels = {},
      .marked = {}};
  for (std::size_t i = 0; i < count; ++i) {
    for (const std::int64_t child : e.children[i]) {
      if (child >= 0) parents[static_cast<std::size_t>(child)] = static_cast<std::int64_t>(i);
    }
    answers.push_back(2 * ones.at({static_cast<std::int64_t>(i), 1}) - 1);
    options.labels.emplace_back(kNames[e.symbols[i]]);
    options.marked.push_back((answers.back() > 0) != e.values[i]);
  }
  return nn::tree_picture(parents, Tensor::from({e.nodes(), 1}, answers), options);
}

struct Settings {
  std::int64_t hidden = 32;
  std::int64_t leaves = 12;
  std::int64_t updates = 1500;
  std::int64_t batch = 64;
};

void run(const common::CommonOptions& options, const Settings& s) {
  Random random(options.seed);
  Random data = random.split();
  const TreeModel tree(s.hidden, random);
  const SequenceModel sequence(s.hidden, random);
  nn::move(tree, options.device);
  nn::move(sequence, options.device);
  optim::Adam of_tree(nn::parameters(tree), {.learning_rate = 5e-3});
  optim::Adam of_sequence(nn::parameters(sequence), {.learning_rate = 5e-3});
  fmt::print("expressions of 1 to {} truth values, such as {}\n", s.leaves,
             draw_expression(5, data).text());
  fmt::print("parameters: Tree-LSTM {}, LSTM {}\n", nn::parameter_count(tree),
             nn::parameter_count(sequence));
  common::Progress progress(0, s.updates, "expressions");
  double tree_loss = 0.69, sequence_loss = 0.69;
  for (std::int64_t done = 1; done <= s.updates; ++done) {
    const Forest forest = draw_forest(s.batch, 1, s.leaves, data);
    tree_loss += 0.05 * (update(tree, of_tree, forest) - tree_loss);
    sequence_loss += 0.05 * (update(sequence, of_sequence, forest) - sequence_loss);
    progress.update(done, tree_loss, static_cast<double>(s.batch * done));
  }
  const double seconds = progress.seconds();
  progress.clear();
  fmt::print("{} updates, {:.1f} s; loss of the Tree-LSTM {:.4f}, of the LSTM {:.4f}\n", s.updates,
             seconds, tree_loss, sequence_loss);

  fmt::print("\nright on 500 new expressions   Tree-LSTM    LSTM\n");
  nlohmann::json figures = nlohmann::json::array();
  double longest = 0;
  for (const auto& [low, high] : {std::pair<std::int64_t, std::int64_t>{1, s.leaves / 2},
                                  {s.leaves / 2 + 1, s.leaves},
                                  {s.leaves + 1, 2 * s.leaves},
                                  {2 * s.leaves + 1, 4 * s.leaves}}) {
    const Forest fresh = draw_forest(500, low, high, data);
    const double by_tree = static_cast<double>(right_answers(tree(fresh), fresh.targets)) / 500;
    const double by_sequence =
        static_cast<double>(right_answers(sequence(fresh), fresh.targets)) / 500;
    fmt::print("{:>3} to {:>3} truth values{}   {:>7.1f} % {:>7.1f} %\n", low, high,
               low > s.leaves ? " *" : "  ", 100 * by_tree, 100 * by_sequence);
    figures.push_back({{"from", low}, {"to", high}, {"tree", by_tree}, {"sequence", by_sequence}});
    longest = by_tree;
  }
  const Forest inner = draw_forest(100, s.leaves / 2 + 1, s.leaves, data);
  std::vector<std::int64_t> values;
  for (const Expression& e : inner.expressions) {
    for (const bool value : e.values) values.push_back(value ? 1 : 0);
  }
  const double parts = static_cast<double>(right_answers(tree.nodes(inner), values)) /
                       static_cast<double>(values.size());
  fmt::print("  * longer than any in training\n");
  fmt::print("right on the parts of expressions, whose values it did not learn from: {:.1f} %\n",
             100 * parts);
  if (!options.json.empty()) {
    common::write_json(options.json, {{"updates", s.updates},
                                      {"seconds", seconds},
                                      {"tree_loss", tree_loss},
                                      {"sequence_loss", sequence_loss},
                                      {"accuracy", figures},
                                      {"parts", parts}});
  }
  const std::string file = options.out + "/tree.svg";
  write_file(file, picture(tree, draw_expression(s.leaves, data)));
  fmt::print("the picture: {}\n", file);
  fmt::print("{}\n", longest > 0.95 ? "the tree has learned logic"
                                    : "the tree has not learned logic yet: more --updates");
}

}  // namespace

int main(int argc, char** argv) {
  common::CommonOptions options;
  Settings s;
  common::CommandLine line(options, "tree_lstm",
                           "Learns the value of logical expressions by a Tree-LSTM, and compares "
                           "it with an LSTM that reads the symbols one after the other.");
  line.add({common::count("--hidden", s.hidden, 1, 1024, "hidden units"),
            common::count("--leaves", s.leaves, 2, 1000, "most truth values of an expression"),
            common::count("--updates", s.updates, 1, common::kAnyCount,
                          "training steps, each on --batch expressions"),
            common::count("--batch", s.batch, 1, 100000, "expressions of a training step")});
  return line.run(
      argc, argv,
      [&] {
        common::check_writable(options.out + "/tree.svg");
        run(options, s);
      },
      [&] {
        if (options.quick) line.preset("--updates", 30);
        options.writes.push_back({"the picture", options.out + "/tree.svg"});
      });
}
