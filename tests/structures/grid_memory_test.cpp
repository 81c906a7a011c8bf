// SPDX-License-Identifier: MIT
// Grids allocate nothing on the heap in the steady state, and build no schedule again for a batch
// of known sizes. Counts calls of operator new; measures no time.
#include "tapeloop/optim/sgd.h"
#include "tests/allocations.h"
#include "tests/structures/md_cells.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

template <class C>
void train_without_allocations(const nn::MdLstmOptions& own) {
  for (const int threads : {1, 2}) {
    const Threads scope(threads);
    memory::release_cached();  // blocks of other sizes would take the place of these
    Random random(1);
    const nn::Grid<C> model(
        {.input = 5, .hidden = 33, .directions = nn::all_directions(2), .layers = 2}, random, own);
    optim::Sgd sgd(nn::parameters(model), {.learning_rate = 0.01});
    const Tensor xs = random_tensor({7, 5, 3, 5}, 1, DType::float32);
    const std::vector<std::int64_t> sizes = {7, 5, 2, 3, 6, 1};
    const auto train = [&](std::span<const std::int64_t> own_sizes) {
      {
        Tape tape;
        tape.backward(mean(square(model(Var(xs), {.sizes = own_sizes}).ys)));
      }
      sgd.step();
      sgd.zero_grad();
      model(Var(xs), {.sizes = own_sizes});
    };
    for (const std::span<const std::int64_t> given : {{}, std::span<const std::int64_t>(sizes)}) {
      memory::release_cached();
      for (int i = 0; i < 4; ++i) train(given);
      const std::int64_t before = allocations();
      const std::int64_t heap_calls = memory::stats().heap_calls;
      for (int i = 0; i < 10; ++i) train(given);
      CHECK(allocations() == before);
      CHECK(memory::stats().heap_calls == heap_calls);
    }
  }
}

TEST_CASE("training and inference on grids make no heap allocation in the steady state") {
  if (!can_count_allocations()) return;
  for (const MdKind& kind : kMdKinds) {
    CAPTURE(std::string(kind.name));
    train_without_allocations<nn::MdLstmCell>(kind.options);
  }
  train_without_allocations<MdLstmByOperations>({});
}

TEST_CASE("training of a GridLstm makes no heap allocation in the steady state") {
  if (!can_count_allocations()) return;
  for (const int untied : {-1, 1}) {
    memory::release_cached();
    Random random(1);
    const nn::GridLstm model(
        {.hidden = 17, .priority = {1}, .untied = untied, .untied_size = untied < 0 ? 0 : 4},
        random);
    optim::Sgd sgd(nn::parameters(model), {.learning_rate = 0.01});
    const Tensor xs = random_tensor({6, 3, 17}, 1, DType::float32);
    const auto train = [&] {
      {
        Tape tape;
        tape.backward(mean(square(model({.h = {Var(), Var(xs)}, .m = {}}, {6, 4}).h[1])));
      }
      sgd.step();
      sgd.zero_grad();
    };
    for (int i = 0; i < 4; ++i) train();
    const std::int64_t before = allocations();
    for (int i = 0; i < 10; ++i) train();
    CHECK(allocations() == before);
  }
}

TEST_CASE("a layer keeps the schedules of the last four kinds of batches") {
  nn::detail::GridSchedules kept(nn::all_directions(2));
  const auto order = [&](std::int64_t rows, std::span<const std::int64_t> sizes = {}) {
    return kept.get({rows, 3}, 2, sizes)[3].order().data();  // differs for each that is built
  };
  const std::vector<std::int64_t> sizes = {4, 2, 1, 3};
  const std::int64_t* const first = order(4);
  const std::int64_t* const ragged = order(4, sizes);
  CHECK(first != ragged);
  const Schedule held = kept.get({4, 3}, 2, {})[3];  // its memory is not used again
  order(5), order(6);
  CHECK(order(4) == first);
  CHECK(order(4, sizes) == ragged);
  order(7);  // takes the place of the first
  CHECK(order(4, sizes) == ragged);
  CHECK(order(4) != first);
}

}  // namespace
}  // namespace tapeloop::test
