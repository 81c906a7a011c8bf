// SPDX-License-Identifier: MIT
// linear() with few rows, which packs weights and keeps them: against a plain loop over odd sizes
// and strides. Products must reuse kept panels, but never after a write to the weight. Does not
// check speed.
#include <random>
#include <thread>

#include "tapeloop/nn/nn.h"
#include "tapeloop/optim/clip.h"
#include "tapeloop/optim/sgd.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

enum class Layout { row_major, transposed, strided, reversed, repeated };
constexpr Layout kLayouts[] = {Layout::row_major, Layout::transposed, Layout::strided,
                               Layout::reversed, Layout::repeated};

Tensor matrix(std::int64_t rows, std::int64_t columns, Layout layout, std::uint64_t seed,
              DType dtype) {
  switch (layout) {
    case Layout::row_major: return random_tensor({rows, columns}, seed, dtype);
    case Layout::transposed: return random_tensor({columns, rows}, seed, dtype).transpose(0, 1);
    case Layout::strided:
      return random_tensor({rows + 1, 3 * columns + 2}, seed, dtype)
          .slice(0, 1, rows + 1)
          .slice(1, 2, 3 * columns + 2, 3);
    case Layout::reversed: return random_tensor({rows, columns}, seed, dtype).flip(0).flip(1);
    case Layout::repeated: return random_tensor({1, columns}, seed, dtype).expand({rows, columns});
  }
  return {};
}

// The largest error of y = x w^T + b beyond a single rounding of each of its sums.
double excess(const Tensor& y, const Tensor& x, const Tensor& w, const Tensor& b) {
  const std::vector<double> ys = y.to_vector<double>(), xs = x.to_vector<double>(),
                            ws = w.to_vector<double>();
  const std::vector<double> bs =
      b.defined() ? b.expand(y.shape()).to_vector<double>() : std::vector<double>();
  const auto rows = static_cast<std::size_t>(x.dim(0)), depth = static_cast<std::size_t>(x.dim(1)),
             columns = static_cast<std::size_t>(w.dim(0));
  const double epsilon = y.dtype() == DType::float32 ? 6e-8 : 1.2e-16;
  double worst = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      double sum = bs.empty() ? 0 : bs[i * columns + j];
      double magnitude = std::abs(sum);
      for (std::size_t k = 0; k < depth; ++k) {
        sum += xs[i * depth + k] * ws[j * depth + k];
        magnitude += std::abs(xs[i * depth + k] * ws[j * depth + k]);
      }
      // The plain loop in float64 has errors too.
      const double allowed = 2 * static_cast<double>(depth + 2) * epsilon * magnitude;
      const double error = std::abs(ys[i * columns + j] - sum);
      if (!(error <= allowed)) worst = std::isnan(error) ? INFINITY : std::max(worst, error);
    }
  }
  return worst;
}

const void* kept_of(const Tensor& tensor) { return detail::storage_of(tensor)->kept; }

// Writes without the library's knowledge: only a product that packs again sees the new value.
void write_unseen(const Tensor& w, double value) {
  if (w.dtype() == DType::float32) {
    *static_cast<float*>(w.raw()) = static_cast<float>(value);
  } else {
    *static_cast<double*>(w.raw()) = value;
  }
}

Tensor apply(const Tensor& w, std::int64_t rows = 3) {
  return linear(Var(random_tensor({rows, w.dim(1)}, 5, w.dtype())), Var(w)).value();
}
bool follows(const Tensor& w) {  // products see the present w
  return excess(apply(w), random_tensor({3, w.dim(1)}, 5, w.dtype()), w, Tensor()) == 0;
}
// True if a second product does not pack again.
bool is_kept(const Tensor& w) {
  const Tensor first = apply(w);
  const double before = w.at({0, 0});
  write_unseen(w, before + 1);
  const bool same = same_bits(apply(w), first);
  write_unseen(w, before);
  return same;
}

}  // namespace

TEST_CASE("linear of 1 to 130 rows agrees with a plain loop") {
  std::mt19937_64 random(kSeed);
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (std::int64_t rows = 1; rows <= 130; ++rows) {
      for (const std::int64_t depth : {1, 2, 15, 17, 63, 65}) {
        const std::int64_t columns = std::array{1, 2, 15, 17, 63, 65}[random() % 6];
        const Layout layout = kLayouts[random() % 5];
        const Tensor w = matrix(columns, depth, layout, 1, dtype);
        const Tensor x = matrix(
            rows, depth, random() % 4 == 0 ? kLayouts[random() % 5] : Layout::row_major, 2, dtype);
        Tensor b;
        switch (random() % 6) {
          case 0: break;
          case 1: b = random_tensor({columns}, 3, dtype); break;
          case 2: b = random_tensor({rows, columns}, 3, dtype); break;
          case 3: b = random_tensor({rows, 1}, 3, dtype); break;
          case 4: b = random_tensor({}, 3, dtype); break;
          case 5: b = random_tensor({columns, rows}, 3, dtype).transpose(0, 1); break;
        }
        const Threads scope(1 + static_cast<int>(random() % 2));
        CAPTURE(rows);
        CAPTURE(depth);
        CAPTURE(columns);
        CAPTURE(static_cast<int>(layout));
        CAPTURE(b.describe());
        for (int again = 0; again < 2; ++again) {
          CHECK(excess(linear(Var(x), Var(w), b.defined() ? Var(b) : Var()).value(), x, w, b) == 0);
        }
      }
    }
  }
}

TEST_CASE("deep and wide products agree with a plain loop, with the same bits for any threads") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const std::int64_t rows : {1, 2, 7, 8, 9, 33, 128, 129, 300}) {
      for (const std::int64_t depth : {255, 513, 1025}) {
        const Tensor w = random_tensor({331, depth}, 1, dtype);
        const Tensor x = random_tensor({rows, depth}, 2, dtype);
        const Tensor b = random_tensor({331}, 3, dtype);
        const Tensor alone = linear(Var(x), Var(w), Var(b)).value();
        CAPTURE(rows);
        CAPTURE(depth);
        if (depth == 513) CHECK(excess(alone, x, w, b) == 0);
        for (const int threads : {2, 3}) {
          const Threads scope(threads);
          CHECK(same_bits(linear(Var(x), Var(w), Var(b)).value(), alone));
        }
      }
    }
  }
}

TEST_CASE("a row has the same bits in a batch of any size, and by any view of the weights") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Tensor w = random_tensor({65, 600}, 1, dtype);
    const Tensor x = random_tensor({401, 600}, 2, dtype);
    const Tensor whole = linear(Var(x), Var(w)).value();
    for (const std::int64_t rows : {1, 2, 3, 5, 15, 17, 64, 127, 129, 300}) {
      CAPTURE(rows);
      CHECK(same_bits(linear(Var(x.slice(0, 1, 1 + rows)), Var(w)).value(),
                      whole.slice(0, 1, 1 + rows)));
    }
    CHECK(same_bits(linear(Var(x), Var(w.transpose(0, 1).clone().transpose(0, 1))).value(), whole));
    // x and the bias have any strides.
    const Tensor turned = x.transpose(0, 1).clone().transpose(0, 1);
    CHECK(same_bits(linear(Var(turned), Var(w)).value(), whole));
    const Var scalar(Tensor::full({}, 0.25, dtype));
    const Tensor added = linear(Var(x), Var(w), scalar).value();
    for (const std::int64_t rows : {1, 3, 20}) {
      CHECK(same_bits(linear(Var(turned.slice(0, 0, rows)), Var(w)).value(),
                      whole.slice(0, 0, rows)));
      CHECK(same_bits(linear(Var(x.slice(0, 0, rows)), Var(w), scalar).value(),
                      added.slice(0, 0, rows)));
    }
  }
}

TEST_CASE("an empty inner dimension gives the bias, empty results stay empty") {
  const Tensor b = random_tensor({4}, 1);
  const Tensor y = linear(Var(Tensor::empty({3, 0}, DType::float64)),
                          Var(Tensor::empty({4, 0}, DType::float64)), Var(b))
                       .value();
  CHECK(distance(y, b.expand({3, 4}).clone()) == 0);
  CHECK(linear(Var(Tensor::empty({0, 5})), Var(Tensor::zeros({4, 5}))).shape() == Shape{0, 4});
  CHECK(linear(Var(Tensor::zeros({3, 5})), Var(Tensor::zeros({0, 5}))).shape() == Shape{3, 0});
}

TEST_CASE("panels are kept with the weight's memory, used again, and go with it") {
  const std::int64_t before = memory::stats().live_bytes;
  {
    const Tensor w = random_tensor({65, 63}, 1);
    const std::int64_t with_weight = memory::stats().live_bytes;
    CHECK(kept_of(w) == nullptr);
    apply(w);
    const std::int64_t with_panels = memory::stats().live_bytes;
    CHECK(with_panels - with_weight >= w.numel() * 8);
    for (int i = 0; i < 5; ++i) apply(w);
    CHECK(memory::stats().live_bytes == with_panels);
    CHECK(is_kept(w));
    // The transposed use has its own panels, packed once.
    apply(w.transpose(0, 1));
    const std::int64_t with_both = memory::stats().live_bytes;
    CHECK(with_both > with_panels);
    for (int i = 0; i < 5; ++i) {
      apply(w.transpose(0, 1));
      apply(w);
    }
    CHECK(memory::stats().live_bytes == with_both);
    // A write makes all of them invalid.
    w.fill(1);
    apply(w);
    CHECK(memory::stats().live_bytes == with_panels);
  }
  CHECK(memory::stats().live_bytes == before);
}

TEST_CASE("views of one memory have panels of their own, and not without end") {
  const Tensor whole = random_tensor({40, 9}, 1);
  apply(whole);
  std::int64_t most = 0;
  for (int round = 0; round < 3; ++round) {
    for (std::int64_t i = 0; i < 30; ++i) {
      const Tensor view = whole.slice(0, i, i + 7);
      CHECK(follows(view));
      CHECK(follows(view.slice(1, 2, 9)));
    }
    if (round == 0) most = memory::stats().live_bytes;
    CHECK(memory::stats().live_bytes <= most + 4096);
  }
  const Tensor other = whole.slice(0, 3, 10);
  CHECK(is_kept(other));
  other.fill(0.5);
  CHECK(follows(other));
  CHECK(follows(whole));
}

TEST_CASE("every way to write a weight is followed by the next product") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Random random(3);
    const nn::Linear layer(17, 15, random, true, dtype);
    const Var& w = layer.weight;
    const auto check = [&](const char* how, const auto& write) {
      CAPTURE(how);
      CHECK(is_kept(w.value()));
      CHECK(follows(w.value().transpose(0, 1)));
      const Tensor before = w.value().clone();
      write();
      CHECK(distance(w.value(), before) > 0);
      CHECK(follows(w.value()));
      CHECK(follows(w.value().transpose(0, 1)));
      CHECK(is_kept(w.value()));
    };
    check("copy_from", [&] { w.value().copy_from(random_tensor({15, 17}, 8, dtype)); });
    check("copy_from, converting", [&] {
      w.value().copy_from(random_tensor({15, 17}, 9).to(DType::float32));
    });
    check("fill", [&] { w.value().fill(0.25); });
    check("fill of a row", [&] { w.value().select(0, 3).fill(0.5); });
    check("a view of a view", [&] {
      w.value().transpose(0, 1).slice(0, 2, 5).slice(1, 14, 15).copy_from(
          random_tensor({3, 1}, 10, dtype));
    });
    check("add_in_place", [&] { add_in_place(w.value(), Tensor::full({}, 0.5, dtype)); });
    check("transform", [&] {
      transform(formula::Add{}, {w.value(), random_tensor({15, 17}, 11, dtype)}, {w.value()});
    });
    check("set_value", [&] { w.set_value(random_tensor({15, 17}, 12, dtype)); });
    check("an overlapping copy",
          [&] { w.value().slice(0, 1, 15).copy_from(w.value().slice(0, 0, 14)); });
    optim::Sgd sgd(nn::parameters(layer), {.learning_rate = 0.1});
    const auto backward = [&] {
      Tape tape;
      const Var x(random_tensor({3, 17}, 13, dtype));
      tape.backward(sum(square(layer(x))));
    };
    check("a step of an optimizer", [&] {
      backward();
      sgd.step();
    });
    check("a step after clipping", [&] {
      sgd.zero_grad();
      backward();
      optim::clip_grad_norm(sgd.parameters(), 0.5);
      sgd.step();
    });
    StateDict saved = nn::state_dict(layer);
    for (NamedTensor& item : saved) item.tensor = item.tensor.clone();
    check("load_state_dict", [&] {
      saved[0].tensor.fill(0.125);
      nn::load_state_dict(layer, saved);
    });
    check("an initializer", [&] { nn::init::orthogonal(w, random); });
  }
}

TEST_CASE("a gradient used as a weight follows what is added to it in place") {
  const Var p = parameter(random_tensor({6, 5}, 1));
  const auto backward = [&] {
    Tape tape;
    tape.backward(sum(square(linear(Var(random_tensor({3, 5}, 2)), p))));
  };
  backward();
  const Tensor gradient = p.grad().value();
  CHECK(follows(gradient));
  const Tensor before = gradient.clone();
  backward();
  CHECK(distance(p.grad().value(), before) > 0);
  CHECK(follows(p.grad().value()));
  CHECK(follows(gradient));
}

TEST_CASE("memory whose pointer was taken is packed at every call and keeps nothing") {
  for (const bool kept_before : {false, true}) {
    const Tensor w = random_tensor({9, 7}, 1);
    if (kept_before) CHECK(is_kept(w));
    double* elements = w.slice(0, 2, 3).data<double>();  // by any handle
    const std::int64_t bytes = memory::stats().live_bytes;
    for (int i = 0; i < 5; ++i) {
      elements[i] = 10.0 + i;
      CHECK(w.at({2, i}) == 10.0 + i);
      CHECK(follows(w));
      CHECK(follows(w.transpose(0, 1)));
    }
    CHECK(memory::stats().live_bytes <= bytes);
    CHECK_FALSE(is_kept(w));
    CHECK(is_kept(w.clone()));  // a copy has its own memory
  }
  const Tensor read_only = random_tensor({9, 7}, 1);
  CHECK(read_only.read<double>()[0] == read_only.at({0, 0}));
  CHECK(is_kept(read_only));
}

TEST_CASE("memory that is used again for another tensor does not bring old panels along") {
  for (int i = 0; i < 20; ++i) {
    const Tensor w = random_tensor({16, 16}, 100 + static_cast<std::uint64_t>(i));
    CHECK(kept_of(w) == nullptr);
    CHECK(follows(w));
  }
}

TEST_CASE("a parameter changed between forward and backward is an error") {
  const Var w = parameter(random_tensor({5, 5}, 1));
  const Var x(random_tensor({2, 5}, 2));
  {
    Tape tape;
    const Var y = sum(linear(x, w));
    w.value().fill(2);
    CHECK(test::throws_with("backward|float64[5, 5] was written after this tape used it|before",
                            [&] { tape.backward(y); }));
  }
  {
    Tape tape;
    const Var y = sum(linear(x, w));
    w.set_value(w.value().clone());
    CHECK(test::throws_with("backward|was written", [&] { tape.backward(y); }));
  }
  CHECK_FALSE(w.grad().defined());
  Tape tape;
  w.value().fill(3);  // before its first use
  tape.backward(sum(linear(x, w)));
  CHECK(w.grad().defined());
}

TEST_CASE("threads that only read one weight share it") {
  for (int round = 0; round < 20; ++round) {
    const Tensor w = random_tensor({65, 63}, 1 + static_cast<std::uint64_t>(round));
    const Tensor expected = apply(w.clone());
    const Tensor turned = apply(w.transpose(0, 1).clone());
    std::atomic<int> wrong{0};
    const auto work = [&] {
      for (int i = 0; i < 50; ++i) {
        if (!same_bits(apply(w), expected)) ++wrong;
        if (!same_bits(apply(w.transpose(0, 1)), turned)) ++wrong;
      }
    };
    std::thread a(work), b(work), c(work);
    a.join(), b.join(), c.join();
    CHECK(wrong == 0);
    CHECK(is_kept(w));
  }
}

TEST_CASE("a weight given back by another thread than the one that packed it frees its panels") {
  for (int i = 0; i < 10; ++i) {
    Tensor w = random_tensor({33, 31}, 1);
    apply(w);
    std::thread([mine = std::move(w)]() mutable {
      apply(mine);
      mine = Tensor();
    }).join();
  }
}

}  // namespace tapeloop::test
