// SPDX-License-Identifier: MIT
// Checks of every built-in cell: gradients, the sequence against single steps, lengths, streaming,
// weights by their names, allocations.
#include <set>

#include "tests/allocations.h"
#include "tests/nn/cell_table.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::allocations;
using test::can_count_allocations;
using test::random_tensor;

constexpr std::int64_t kSize = 4;

RecurrentOptions sizes(DType dtype = DType::float64) {
  return {.input = kSize, .hidden = kSize, .dtype = dtype};
}

PoolVector<Var> random_state(const AnyStack& cells, std::int64_t layers, std::int64_t n) {
  PoolVector<Var> state;
  for (std::size_t k = 0; k < cells.state_sizes.size(); ++k) {
    state.push_back(parameter(random_tensor({layers, n, cells.state_sizes[k]}, 50 + k)));
  }
  return state;
}

double distance(const Var& a, const Var& b) { return test::distance(a.value(), b.value()); }

}  // namespace

TEST_CASE("gradients of every cell are right to second order, in two directions") {
  for (const CellRow& row : cell_rows()) {
    const std::string name = row.name;
    CAPTURE(name);
    RecurrentOptions options = sizes();
    options.bidirectional = true;
    const AnyStack cells = row.make(options, 3);
    const Var xs = parameter(random_tensor({2, 2, kSize}, 7));
    const PoolVector<Var> state = random_state(cells, 2, 2);
    ParameterList list = cells.parameters;
    list.push_back({"xs", xs});
    for (std::size_t k = 0; k < state.size(); ++k) {
      list.push_back({"state " + std::to_string(k), state[k]});
    }
    for (const bool second : {false, true}) {
      const GradcheckReport report =
          gradcheck([&] { return cells.run(xs, state, {}); }, list, {.second_order = second});
      CHECK_MESSAGE(report.ok, row.name << "\n" << report.str());
    }
  }
}

TEST_CASE("every cell gives for a sequence what its single steps give, and so with lengths") {
  for (const CellRow& row : cell_rows()) {
    const std::string name = row.name;
    CAPTURE(name);
    const AnyStack cells = row.make(sizes(), 4);
    const Var xs(random_tensor({6, 3, kSize}, 8));
    PoolVector<Var> state = random_state(cells, 1, 3);
    const std::int64_t lengths[] = {6, 0, 4};
    const PoolVector<Var> whole = cells.run(xs, state, {}), ragged = cells.run(xs, state, lengths);
    for (Var& part : state) part = select_index(part, 0, 0);
    state = cells.initial(state);
    for (std::int64_t t = 0; t < 6; ++t) {
      state = cells.step(select_index(xs, 0, t), state);
      CHECK(distance(select_index(whole[0], 0, t), state[0]) < 1e-13);
      for (const std::int64_t n : {0, 2}) {
        const Var y = select_index(select_index(ragged[0], 0, t), 0, n);
        const Var expected = t < lengths[n] ? select_index(state[0], 0, n) : 0.0 * y;
        CHECK(distance(y, expected) < 1e-13);
      }
      for (std::size_t k = 0; t == 3 && k < state.size(); ++k) {
        CHECK(distance(select_index(select_index(ragged[1 + k], 0, 0), 0, 2),
                       select_index(state[k], 0, 2)) < 1e-13);
      }
    }
    for (std::size_t k = 0; k < state.size(); ++k) {
      CHECK(distance(select_index(whole[1 + k], 0, 0), state[k]) < 1e-13);
    }
  }
}

TEST_CASE("sequences that begin within a row give what each gives alone, in two directions") {
  constexpr std::int64_t kSteps = 6, kBatch = 3;
  // The first steps of the sequences of each row, and the end of the last one.
  const std::vector<std::vector<std::int64_t>> borders = {{0, 2, 5, 6}, {0, 6}, {0, 3, 6}};
  std::vector<std::uint8_t> begins(kSteps * kBatch, 0);
  for (std::size_t n = 0; n < kBatch; ++n) {
    for (const std::int64_t t : borders[n]) {
      if (t < kSteps) begins[static_cast<std::size_t>(t) * kBatch + n] = 3;
    }
  }
  for (const CellRow& row : cell_rows()) {
    const std::string name = row.name;
    CAPTURE(name);
    RecurrentOptions options = sizes();
    options.bidirectional = true;
    const AnyStack cells = row.make(options, 4);
    const Var xs = parameter(random_tensor({kSteps, kBatch, kSize}, 8));
    const PoolVector<Var> state = random_state(cells, 2, kBatch);
    // The sum of the outputs, so that gradients are compared too.
    PoolVector<Var> together;
    Var gradient;
    {
      Tape tape;
      together = cells.run_several(xs, state, begins);
      tape.backward(sum(together[0] * together[0]));
      gradient = xs.grad();
      for (Var& part : together) part = part.detach();
    }
    xs.zero_grad();
    Tape tape;
    Var total;
    for (std::int64_t n = 0; n < kBatch; ++n) {
      PoolVector<Var> own;
      for (const Var& part : state) own.push_back(slice(part, 1, n, n + 1));
      const std::vector<std::int64_t>& places = borders[static_cast<std::size_t>(n)];
      for (std::size_t i = 0; i + 1 < places.size(); ++i) {
        const std::int64_t first = places[i], end = places[i + 1];
        const auto part_of = [&](const Var& x) {
          return slice(slice(x, 0, first, end), 1, n, n + 1);
        };
        const PoolVector<Var> alone = cells.run(part_of(xs), own, {});
        CHECK(distance(part_of(together[0]), alone[0]) < 1e-13);
        const Var square = sum(alone[0] * alone[0]);
        total = total.defined() ? total + square : square;
        for (std::size_t k = 0; k < state.size(); ++k) {
          const auto last = [&](std::int64_t direction) {
            return distance(select_index(select_index(together[1 + k], 0, direction), 0, n),
                            select_index(select_index(alone[1 + k], 0, direction), 0, 0));
          };
          if (end == kSteps) CHECK(last(0) < 1e-13);
          if (first == 0) CHECK(last(1) < 1e-13);
        }
      }
    }
    tape.backward(total);
    CHECK(distance(gradient, xs.grad()) < 1e-12);
  }
}

TEST_CASE("a stepper streams every cell, in two layers, with the mean of zoneout") {
  for (const CellRow& row : cell_rows()) {
    const std::string name = row.name;
    CAPTURE(name);
    RecurrentOptions options = sizes(DType::float32);
    options.layers = row.stacked ? 2 : 1;
    options.noise = row.noise({.zoneout_h = 0.1, .zoneout_c = 0.2, .states = 0.3});
    const AnyStack cells = row.make(options, 5);
    Random random(6);
    const Tensor xs = random_normal({7, 1, kSize}, 0, 1, random);
    Stepper stepper = cells.stepper();
    cells.convert(DType::float64);
    const Var ys = cells.run(Var(xs.to(DType::float64)), {}, {})[0];
    std::vector<float> y(static_cast<std::size_t>(ys.dim(2)));
    for (std::int64_t t = 0; t < 7; ++t) {
      REQUIRE(stepper.step(xs.select(0, t).to_vector<float>(), y));
      const std::vector<double> expected = ys.value().select(0, t).to_vector<double>();
      CHECK(test::distance(std::vector<double>(y.begin(), y.end()), expected) < 5e-6);
    }
  }
}

TEST_CASE("weights of every cell have names of their own, by which another model takes them") {
  for (const CellRow& row : cell_rows()) {
    const std::string name = row.name;
    CAPTURE(name);
    RecurrentOptions options = sizes();
    options.layers = row.stacked ? 2 : 1;
    options.bidirectional = !row.stacked;
    const AnyStack from = row.make(options, 1), to = row.make(options, 2);
    const Var xs(random_tensor({3, 2, kSize}, 9));
    REQUIRE(from.parameters.size() == to.parameters.size());
    CHECK(distance(from.run(xs, {}, {})[0], to.run(xs, {}, {})[0]) > 1e-6);
    std::set<std::string> names;
    StateDict saved;
    for (const NamedVar& p : from.parameters) {
      CHECK(names.insert(p.name).second);
      CHECK(p.name.find("_l0") + p.name.find("_l1") != 2 * std::string::npos);
      saved.push_back({p.name, p.var.value()});
    }
    detail::load_state_dict(to.parameters, saved, "the first model");
    CHECK(distance(from.run(xs, {}, {})[0], to.run(xs, {}, {})[0]) == 0);
  }
}

TEST_CASE("no cell makes heap allocations once warm, also with lengths and with noise") {
  if (!can_count_allocations()) return;
  for (const CellRow& row : cell_rows()) {
    const std::string name = row.name;
    CAPTURE(name);
    RecurrentOptions options = sizes(DType::float32);
    options.layers = row.stacked ? 2 : 1;
    for (const Noise& noise : {Noise{}, Noise{.zoneout_h = 0.1,
                                        .zoneout_c = 0.2,
                                        .inputs = 0.3,
                                        .states = 0.4,
                                        .outputs = 0.1,
                                        .weights = 0.2}}) {
      if (noise.wanted() && !row.has_noise) continue;
      options.noise = row.noise(noise);
      const AnyStack cells = row.make(options, 1);
      const Var xs = parameter(random_tensor({5, 3, kSize}, 10, DType::float32));
      const Var dys(random_tensor({5, 3, cells.run(xs, {}, {})[0].dim(2)}, 11, DType::float32));
      const std::int64_t some[] = {5, 2, 0};
      for (const std::span<const std::int64_t> lengths :
           {std::span<const std::int64_t>{}, std::span<const std::int64_t>(some)}) {
        std::int64_t counted = -1;
        for (int i = 0; i < 4; ++i) {
          const std::int64_t before = allocations();
          {
            Tape tape;
            tape.backward(cells.run(xs, {}, lengths)[0], dys);
          }
          for (const NamedVar& p : cells.parameters) p.var.zero_grad();
          xs.zero_grad();
          counted = allocations() - before;
        }
        CHECK(counted == 0);
      }
    }
  }
}

}  // namespace tapeloop::nn
