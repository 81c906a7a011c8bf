// SPDX-License-Identifier: MIT
// recurrent() with lengths: what lies past a sequence's end, and sequences without steps.
#include "tests/sequence/recurrent_oracle.h"

namespace tapeloop::test {
TEST_CASE("what zx holds past a sequence's end does not matter, not even NaN") {
  for (const Kind& kind : kKinds) {
    for (const bool reverse : {false, true}) {
      for (const Give give : kGives) {
        for (const int order : {1, 2}) {
          Problem p(kind, 4, 2, 3);
          p.reverse = reverse;
          p.lengths = {2, 4};
          p.give = give;
          CAPTURE(std::string(kind.name));
          CAPTURE(order);
          CAPTURE(reverse);
          const Outcome clean = p.run(fused, order);
          const Tensor padding = p.x.value().slice(0, 2, 4).slice(1, 0, 1);
          padding.fill(std::nan(""));
          const Outcome dirty = p.run(fused, order);
          for (std::size_t i = 0; i < clean.values.size(); ++i)
            CHECK(same_bits(clean.values[i], dirty.values[i]));
          for (std::size_t i = 0; i < clean.gradients.size(); ++i)
            CHECK(same_bits(clean.gradients[i], dirty.gradients[i]));
        }
      }
    }
  }
}

TEST_CASE("lengths that are all T change no bit; lengths of 0 leave the state as it was") {
  for (const Kind& kind : kKinds) {
    Problem p(kind, 5, 3, 17);
    CAPTURE(std::string(kind.name));
    const Outcome plain = p.run(fused);
    p.lengths = {5, 5, 5};
    const Outcome full = p.run(fused);
    CHECK(same_bits(full.values[0], plain.values[0]));
    check_same(full, plain, 1e-12);
    p.lengths = {0, 0, 0};
    const Outcome none = p.run(fused);
    for (std::size_t k = 0; k < p.state.size(); ++k)
      CHECK(same_bits(none.values[1 + k], p.state[k].value()));
    CHECK(distance(none.gradients[0], Tensor::zeros(p.x.shape(), p.dtype)) == 0);
    CHECK(distance(none.gradients[1], Tensor::zeros(p.w.shape(), p.dtype)) == 0);
  }
}

TEST_CASE("no steps leave the state as it was; an empty batch gives empty results") {
  for (const Kind& kind : kKinds) {
    for (const bool taped : {false, true}) {
      std::optional<Tape> tape;
      if (taped) tape.emplace();
      Problem p(kind, 0, 3, 5);
      const RecurrentResult none = p.forward(fused);
      CHECK(none.hs.shape() == Shape{0, 3, 5});
      REQUIRE(none.last.size() == p.state.size());
      for (std::size_t k = 0; k < p.state.size(); ++k)
        CHECK(same_bits(none.last[k].value(), p.state[k].value()));
      if (taped) {
        const Var loss = sum(none.last[0] * 3.0);
        CHECK(distance(tape->gradient(loss, {p.state[0]}, {.retain = true})[0].value(),
                       Tensor::full({3, 5}, 3, DType::float64)) == 0);
      }
      Problem q(kind, 4, 0, 5);
      q.lengths = {};
      const RecurrentResult empty = q.forward(fused);
      CHECK(empty.hs.shape() == Shape{4, 0, 5});
      for (const Var& part : empty.last) CHECK(part.shape() == Shape{0, 5});
      if (taped) {  // nothing depends on the weights, but gradients exist: zeros
        const Var w = q.w;
        const Var dw = tape->gradient(sum(empty.hs), {w})[0];
        CHECK(distance(dw.value(), Tensor::zeros(w.shape(), DType::float64)) == 0);
      }
    }
  }
}

TEST_CASE("to_nodes and from_nodes are each other's gradient; rows without a node are 0") {
  const std::int64_t lengths[] = {3, 0, 1, 2};
  const Schedule schedule = Schedule::sequences(3, 4, {.lengths = lengths});
  const Var x = parameter(random_tensor({12, 2}, 5));
  for (std::int64_t t = 0; t < 3; ++t) {
    for (std::int64_t n = 0; n < 4; ++n) {
      if (t >= lengths[n]) x.value().select(0, t * 4 + n).fill(std::nan(""));
    }
  }
  const Tensor nodes = to_nodes(schedule, x).value();
  CHECK(nodes.shape() == Shape{6, 2});
  const Tensor back = from_nodes(schedule, Var(nodes)).value();
  CHECK(back.shape() == Shape{12, 2});
  for (std::int64_t t = 0; t < 3; ++t) {
    for (std::int64_t n = 0; n < 4; ++n) {
      const std::int64_t row = t * 4 + n;
      for (std::int64_t j = 0; j < 2; ++j) {
        CHECK(back.at({row, j}) == (t < lengths[n] ? x.value().at({row, j}) : 0.0));
      }
    }
  }
  const Var y = parameter(random_tensor({12, 2, 2}, 6));
  const GradcheckReport report =
      gradcheck([&] { return from_nodes(schedule, square(to_nodes(schedule, y))); },
                ParameterList{{"y", y}}, {.second_order = true});
  INFO(report.str());
  CHECK(report.ok);
  // Without any node all rows are 0.
  const std::int64_t none[] = {0, 0};
  const Schedule empty = Schedule::sequences(2, 2, {.lengths = none});
  const Var zeros = from_nodes(empty, to_nodes(empty, Var(random_tensor({4, 3}, 7))));
  CHECK(same_bits(zeros.value(), Tensor::zeros({4, 3}, DType::float64)));
  CHECK(throws_with("to_nodes: |x is [11, 2], expected 12 rows", [&] {
    to_nodes(schedule, Var(Tensor::zeros({11, 2})));
  }));
  CHECK(
      throws_with("from_nodes: |y is [12, 2], expected 6 rows", [&] { from_nodes(schedule, x); }));
}

}  // namespace tapeloop::test
