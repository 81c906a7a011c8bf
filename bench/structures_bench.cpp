// SPDX-License-Identifier: MIT
// Training steps (float32) of Tree-LSTMs and of a Graph LSTM. No optimizer: forward, backward with
// a dense upstream gradient of all h, gradients of the weights, of x and of given states. The time
// of making the schedule is not counted. bench/peers/structures_data.py makes the same trees and
// graphs. GFLOPS counts the products, 3 x 2V times H(4I + 2.5H) for child-sum trees, where half of
// the nodes have children, H(4I + 5H) for two children, and H(4I + 8H) for graphs. Compare it with
// train/lstm.
//   N trees or graphs, V nodes of each, I input size, H hidden size
#include <numeric>
#include <vector>

#include "bench/support.h"
#include "tapeloop/nn/nn.h"

namespace {

using namespace tapeloop;
using Index = std::vector<std::int64_t>;

// A generator that is easy to write in every language.
class Numbers {
 public:
  std::int64_t below(std::int64_t end) {
    state_ = (state_ * 1103515245 + 12345) % (std::int64_t{1} << 31);
    return (state_ >> 8) % end;
  }

 private:
  std::int64_t state_ = 1;
};

// N trees: the parent of a node is any later one of its tree.
Index make_parents(std::int64_t N, std::int64_t V) {
  Numbers numbers;
  Index parents;
  for (std::int64_t n = 0; n < N; ++n) {
    for (std::int64_t v = 0; v < V; ++v) {
      parents.push_back(v + 1 == V ? -1 : n * V + v + 1 + numbers.below(V - 1 - v));
    }
  }
  return parents;
}
// The same as binary trees: a node takes the last two nodes that have no parent yet, or none.
Index make_children(std::int64_t N, std::int64_t V) {
  Numbers numbers;
  Index children;
  for (std::int64_t n = 0; n < N; ++n) {
    Index open;
    for (std::int64_t v = 0; v < V; ++v) {
      const auto rest = V - v;  // the nodes from this one on
      const auto waiting = static_cast<std::int64_t>(open.size());
      const bool joins = waiting >= 2 && (waiting > rest || numbers.below(2) == 0);
      for (int k = 0; k < 2; ++k) {
        children.push_back(joins ? open.back() : -1);
        if (joins) open.pop_back();
      }
      open.push_back(n * V + v);
    }
  }
  return children;
}

// A triangular lattice of V nodes, 20 in a row, closed at its ends: six neighbours each. The order
// is random.
Schedule make_graph(std::int64_t V, Numbers& numbers) {
  Index begins(1, 0), neighbours, order(static_cast<std::size_t>(V));
  for (std::int64_t v = 0; v < V; ++v) {
    for (const std::int64_t step : {1, 20, 21}) {
      neighbours.push_back((v + step) % V);
      neighbours.push_back((v + V - step) % V);
    }
    begins.push_back(static_cast<std::int64_t>(neighbours.size()));
  }
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::int64_t v = V - 1; v > 0; --v) {
    std::swap(order[static_cast<std::size_t>(v)],
              order[static_cast<std::size_t>(numbers.below(v + 1))]);
  }
  return Schedule::graph({begins, neighbours}, order);
}

// run() returns all h.
template <class Run>
void train(benchmark::State& state, const ParameterList& parameters, double flops, Run run) {
  const bench::Threads threads(state.range(4));
  Random random(2);
  const std::int64_t nodes = state.range(0) * state.range(1);
  const Var dh(random_normal({nodes, state.range(3)}, 0, 1, random));
  const auto step = [&] {
    Tape tape;
    tape.backward(run(), dh);
    benchmark::DoNotOptimize(parameters[0].var.grad().value().raw());
    for (const NamedVar& p : parameters) p.var.zero_grad();
  };
  bench::measure(state, step);
  bench::count_rate(state, "GFLOPS", 3e-9 * 2 * static_cast<double>(nodes) * flops);
  bench::count_rate(state, "nodes/s", static_cast<double>(nodes));
}

void tree(benchmark::State& state, bool ordered) {
  bench::guarded(state, [&] {
    const std::int64_t N = state.range(0), V = state.range(1), I = state.range(2),
                       H = state.range(3);
    Random random(1);
    const Var x = parameter(random_normal({N * V, I}, 0, 1, random));
    const nn::TreeLstmOptions options{.input = I, .hidden = H};
    const nn::ChildSumTreeLstm sum(options, random);
    const nn::NaryTreeLstm nary(options, random);
    const Schedule trees = ordered ? Schedule::trees_by_children(make_children(N, V), 2)
                                   : Schedule::trees_by_parent(make_parents(N, V));
    ParameterList parameters = ordered ? nn::parameters(nary) : nn::parameters(sum);
    parameters.push_back({"x", x});
    const double hidden = ordered ? 5 : 2.5;
    const double products = static_cast<double>(4 * H * I) + hidden * static_cast<double>(H * H);
    train(state, parameters, products,
          [&] { return ordered ? nary(x, trees).h() : sum(x, trees).h(); });
  });
}
void child_sum(benchmark::State& state) { tree(state, false); }
void nary(benchmark::State& state) { tree(state, true); }

void graph(benchmark::State& state) {
  bench::guarded(state, [&] {
    const std::int64_t N = state.range(0), V = state.range(1), I = state.range(2),
                       H = state.range(3);
    Random random(1);
    Numbers numbers;
    std::vector<Schedule> graphs;
    for (std::int64_t n = 0; n < N; ++n) graphs.push_back(make_graph(V, numbers));
    const Schedule all = Schedule::join(graphs);
    const Var x = parameter(random_normal({N * V, I}, 0, 1, random));
    const Var h = parameter(random_normal({N * V, H}, 0, 0.5, random));
    const Var m = parameter(random_normal({N * V, H}, 0, 0.5, random));
    const nn::GraphLstm model({.input = I, .hidden = H}, random);
    ParameterList parameters = nn::parameters(model);
    for (const Var& given : {x, h, m}) parameters.push_back({"given", given});
    train(state, parameters, static_cast<double>(4 * H * (I + 2 * H)),
          [&] { return model(x, all, nn::GraphLstmCell::State(h, m)).y; });
  });
}

void rows(benchmark::internal::Benchmark* benchmark, std::int64_t V,
          std::initializer_list<std::array<std::int64_t, 2>> sizes) {
  benchmark->ArgNames({"N", "V", "I", "H", "threads"})->Unit(benchmark::kMillisecond);
  for (const auto& [N, H] : sizes) benchmark->Args({N, V, H, H, 1});
  benchmark->MeasureProcessCPUTime();
}
void trees(benchmark::internal::Benchmark* benchmark) { rows(benchmark, 40, {{1, 32}, {32, 128}}); }
void graphs(benchmark::internal::Benchmark* benchmark) { rows(benchmark, 300, {{1, 16}, {8, 64}}); }

}  // namespace

BENCHMARK(child_sum)->Name("train/tree_lstm")->Apply(trees);
BENCHMARK(nary)->Name("train/nary_tree_lstm")->Apply(trees);
BENCHMARK(graph)->Name("train/graph_lstm")->Apply(graphs);
