// SPDX-License-Identifier: MIT
// Writes that make a saved value out of date: those to its own elements, by an operation or by a
// pointer. Writes to other elements of the same memory do not, by any thread and however many.
#include "tapeloop/autograd/tensor/writes.h"

#include <array>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "tapeloop/autograd/tensor/tensor_meter.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

using detail::Stamp;

const char* const kNothing = "nothing was thrown";

bool refused(const std::string& message) {
  return message.find("was written after the operation saved it") != std::string::npos;
}

Tensor buffer_of(const Shape& shape, DType dtype = DType::float32) {
  return Tensor::zeros(shape, dtype);
}

struct View {
  const char* name;
  Tensor tensor;
};

// Views of a [6, 5, 4] tensor that share elements, or whose elements interleave.
std::vector<View> views_of(const Tensor& x) {
  return {
      {"row 0", x.select(0, 0)},
      {"row 5", x.select(0, 5)},
      {"rows 1:3", x.slice(0, 1, 3)},
      {"even rows", x.slice(0, 0, 6, 2)},
      {"odd rows", x.slice(0, 1, 6, 2)},
      {"column 0", x.select(1, 0)},
      {"column 4", x.select(1, 4)},
      {"columns 1:4:2", x.slice(1, 1, 4, 2)},
      {"last axis 1", x.select(2, 1)},
      {"last axis 3, flipped", x.select(2, 3).flip(0)},
      {"last axis 1:3, transposed", x.slice(2, 1, 3).transpose(0, 2)},
      {"one element", x.slice(0, 2, 3).slice(1, 3, 4).slice(2, 1, 2)},
      {"one element, expanded", x.slice(0, 3, 4).slice(1, 2, 3).slice(2, 2, 3).expand({2, 3, 4})},
      {"no element", x.slice(0, 2, 2)},
      {"all, transposed", x.transpose(0, 2)},
      {"all", x}};
}

// True if two views share an element: marks the elements of one and searches them in the other.
bool share(const Tensor& of, std::size_t a, std::size_t b) {
  const Tensor marks = Tensor::zeros(of.shape(), of.dtype());
  const std::vector<View> views = views_of(marks);
  views[a].tensor.fill(1);
  for (double mark : views[b].tensor.to_vector<double>()) {
    if (mark != 0) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a stamp fails exactly where a write shares an element with it") {
  for (const DType dtype : {DType::float32, DType::float64, DType::int64}) {
    const Tensor plain = Tensor::zeros({6, 5, 4}, dtype);
    const std::size_t count = views_of(plain).size();
    for (std::size_t saved = 0; saved < count; ++saved) {
      for (std::size_t written = 0; written < count; ++written) {
        // `before`: writes that fit the granules to another write first.
        for (std::size_t before = 0; before <= count; before += 3) {
          const Tensor x = Tensor::zeros({6, 5, 4}, dtype);
          const std::vector<View> views = views_of(x);
          if (before > 0) {
            const Stamp first(x, 0);
            views[before - 1].tensor.fill(3);
          }
          const Stamp stamp(views[saved].tensor, 0);
          CHECK(stamp.holds(views[saved].tensor));
          views[written].tensor.fill(1);
          const bool expected = !share(plain, saved, written);
          if (stamp.holds(views[saved].tensor) != expected) {
            FAIL_CHECK("saved " << views[saved].name << ", written " << views[written].name
                                << ": expected " << expected);
          }
        }
      }
    }
  }
}

TEST_CASE("a write is found whatever was written between, before and after it") {
  const Tensor plain = Tensor::zeros({6, 5, 4});
  const std::size_t count = views_of(plain).size();
  std::mt19937 engine(3);
  for (int round = 0; round < 400; ++round) {
    const Tensor x = Tensor::zeros({6, 5, 4});
    const std::vector<View> views = views_of(x);
    std::vector<Stamp> stamps(count);
    std::vector<char> expected(count, 1);
    for (std::size_t i = 0; i < count; ++i) stamps[i] = Stamp(views[i].tensor, 0);
    for (int k = 0; k < 12; ++k) {
      const std::size_t at = engine() % count;
      if (engine() % 3 == 0) {
        stamps[at] = Stamp(views[at].tensor, 0);
        expected[at] = 1;
        continue;
      }
      if (engine() % 8 == 0) x.data<float>();
      views[at].tensor.fill(round * 100 + k + 1);  // never the old values
      for (std::size_t i = 0; i < count; ++i) {
        if (share(plain, i, at)) expected[i] = 0;
      }
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (stamps[i].holds(views[i].tensor) != (expected[i] != 0)) {
        FAIL_CHECK("round " << round << ", " << views[i].name);
      }
    }
  }
}

TEST_CASE("columns that lie between each other are filled and used step by step") {
  const Var w = parameter(random_tensor({2, 4}, 1, DType::float32));
  const Tensor buffer = buffer_of({2, 3, 4});
  const auto run = [&](int rewritten) {
    w.zero_grad();
    Tape tape;
    Var total(Tensor::zeros({}));
    for (int i = 0; i < 3; ++i) {
      buffer.select(1, i).fill(i + 1);
      total = total + sum(w * Var(buffer.select(1, i)));
    }
    if (rewritten >= 0) buffer.select(1, rewritten).fill(9);
    return message_of([&] { tape.backward(total); });
  };
  CHECK(run(-1) == kNothing);
  CHECK(w.grad().value().to_vector<double>() == std::vector<double>(8, 6));
  for (int i = 0; i < 3; ++i) CHECK(refused(run(i)));

  const Var table = parameter(random_tensor({5, 3}, 2, DType::float32));
  const Tensor index = buffer_of({4, 7}, DType::int64);
  Tape tape;
  Var total(Tensor::zeros({}));
  for (int i = 0; i < 7; ++i) {
    index.select(1, i).fill(i % 5);
    total = total + sum(embedding(table, index.select(1, i)));
  }
  CHECK(message_of([&] { tape.backward(total); }) == kNothing);
}

TEST_CASE("every second row may be filled while the others are saved") {
  const Var w = parameter(random_tensor({2, 3}, 1, DType::float32));
  for (const bool own : {false, true}) {
    const Tensor buffer = buffer_of({4, 3});
    Tape tape;
    const Var y = sum(w * Var(buffer.slice(0, 0, 4, 2)));
    buffer.slice(0, own ? 0 : 1, 4, 2).fill(5);
    CHECK(refused(message_of([&] { tape.backward(y); })) == own);
  }
}

TEST_CASE("a pointer that is taken after saving may write other rows, not the saved one") {
  const Var w = parameter(random_tensor({3}, 1, DType::float32));
  for (const bool own : {false, true}) {
    const Tensor buffer = buffer_of({4, 3});
    Tape tape;
    const Var y = sum(w * Var(buffer.select(0, 0)));
    buffer.select(0, own ? 0 : 1).data<float>()[0] = 5;
    CHECK(refused(message_of([&] { tape.backward(y); })) == own);
  }
  // The copy that the first pointer made serves until the next write of the whole.
  const Tensor buffer = buffer_of({4, 3});
  const Stamp before(buffer.select(0, 2), 0);
  float* const elements = buffer.data<float>();
  const Stamp after(buffer.select(0, 2), 0);
  elements[0] = 1;
  buffer.select(0, 1).fill(2);
  CHECK(before.holds(buffer.select(0, 2)));
  CHECK(after.holds(buffer.select(0, 2)));
  elements[8] = 3;
  CHECK_FALSE(before.holds(buffer.select(0, 2)));
  CHECK_FALSE(after.holds(buffer.select(0, 2)));
  elements[8] = 0;
  CHECK(before.holds(buffer.select(0, 2)));
  buffer.fill(0);
  // Counted as a write, though the values are equal.
  CHECK_FALSE(before.holds(buffer.select(0, 2)));
  CHECK(after.holds(buffer.select(0, 2)));
}

TEST_CASE("changes that cancel in a sum are found in memory with a pointer") {
  for (const std::int64_t count : {2, 16, 64, 1000}) {
    const Tensor x = random_tensor({count}, 3);
    double* const elements = x.data<double>();
    const Stamp stamp(x, 0);
    for (std::int64_t i = 0; i < count; ++i) elements[i] = -elements[i];
    CHECK_FALSE(stamp.holds(x));
    for (std::int64_t i = 0; i < count; ++i) elements[i] = -elements[i];
    CHECK(stamp.holds(x));
  }
  const Tensor tokens = Tensor::zeros({64}, DType::int64);
  std::int64_t* const token = tokens.data<std::int64_t>();
  const Stamp stamp(tokens, 0);
  for (const std::int64_t apart : {1, 4, 8}) {
    for (std::int64_t i = 0; i + 2 * apart < 64; ++i) {
      token[i] += 1, token[i + apart] -= 2, token[i + 2 * apart] += 1;
      CHECK_FALSE(stamp.holds(tokens));
      token[i] -= 1, token[i + apart] += 2, token[i + 2 * apart] -= 1;
    }
  }
  CHECK(stamp.holds(tokens));
}

TEST_CASE("a checksum of a view reads the view alone and makes no tensor") {
  const Tensor x = random_tensor({64, 64}, 3);
  double* const elements = x.data<double>();
  const detail::TensorMeter meter;
  const Tensor column = x.slice(1, 3, 5).transpose(0, 1);
  const Stamp stamp(column, 0);
  elements[2] += 1;
  CHECK(stamp.holds(column));
  elements[64 * 9 + 4] += 1;
  CHECK_FALSE(stamp.holds(column));
  CHECK(meter.peak() == 0);
}

TEST_CASE("a buffer of 20000 rows is filled and used row by row") {
  const std::int64_t rows = 20000;
  const Tensor buffer = buffer_of({rows, 3});
  std::vector<Stamp> stamps;
  for (std::int64_t t = 0; t < rows; ++t) {
    buffer.select(0, t).fill(1);
    stamps.emplace_back(buffer.select(0, t), 0);
  }
  buffer.select(0, 77).fill(2);
  for (std::int64_t t = 0; t < rows; ++t) {
    if (stamps[static_cast<std::size_t>(t)].holds(buffer.select(0, t)) != (t != 77)) {
      FAIL_CHECK("row " << t);
    }
  }
}

TEST_CASE("the memory of the log stays the same however many writes there are") {
  const Tensor ring = buffer_of({16, 8});
  const Stamp stamp(ring.select(0, 3), 0);
  const auto round = [&] {
    for (std::int64_t t = 0; t < 16; ++t) {
      if (t != 3) ring.select(0, t).fill(1);
    }
  };
  round();
  const std::int64_t live = memory::stats().live_bytes;
  for (int i = 0; i < 5000; ++i) round();
  CHECK(memory::stats().live_bytes == live);
  CHECK(stamp.holds(ring.select(0, 3)));
}

TEST_CASE("after one data(), checking all slices of a buffer reads it once, not once for each") {
  const std::int64_t slices = 2000;
  const Tensor buffer = buffer_of({slices, 64, 16});
  std::vector<Stamp> stamps;
  for (std::int64_t t = 0; t < slices; ++t) stamps.emplace_back(buffer.select(0, t), 0);
  buffer.data<float>();
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t t = 0; t < slices; ++t) {
    CHECK(stamps[static_cast<std::size_t>(t)].holds(buffer.select(0, t)));
  }
  // Reading 8 MB once takes some milliseconds; reading it 2000 times, seconds.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(500));
}

TEST_CASE("threads fill and use rows of their own in one buffer") {
  constexpr int kThreads = 4;
  const Tensor buffer = buffer_of({kThreads, 3});
  std::array<std::atomic<int>, kThreads> errors{};
  std::vector<std::thread> threads;
  for (int k = 0; k < kThreads; ++k) {
    threads.emplace_back([&, k] {
      for (int step = 0; step < 500; ++step) {
        const Tensor row = buffer.select(0, k);
        row.fill(step + 1);
        const Stamp stamp(row, 0);
        if (step == 100) row.data<float>()[1] = static_cast<float>(step + 1);  // the same value
        if (!stamp.holds(row)) ++errors[static_cast<std::size_t>(k)];
        row.fill(-step);
        if (stamp.holds(row)) ++errors[static_cast<std::size_t>(k)];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::atomic<int>& count : errors) CHECK(count.load() == 0);
}

TEST_CASE("a stamp and a first pointer that are made at the same time do not miss each other") {
  for (int round = 0; round < 300; ++round) {
    const Tensor x = buffer_of({4});
    Stamp stamp;
    float* elements = nullptr;
    std::atomic<int> ready{0};
    const auto meet = [&] {
      ++ready;
      while (ready.load() < 2) std::this_thread::yield();
    };
    std::thread other([&] {
      meet();
      elements = x.data<float>();
    });
    meet();
    stamp = Stamp(x, 0);
    other.join();
    CHECK(stamp.holds(x));
    elements[1] = 1;
    CHECK_FALSE(stamp.holds(x));
  }
}

TEST_CASE("meters of two threads have different ids") {
  const detail::TensorMeter meter;
  std::uint64_t other = 0;
  std::thread([&] { other = detail::TensorMeter().id(); }).join();
  CHECK(other != meter.id());
  Tensor x = buffer_of({100});
  std::int64_t peak = 0;
  std::thread([&] {
    const detail::TensorMeter second;
    x = Tensor();  // the first meter counts it
    buffer_of({1000});
    peak = second.peak();
  }).join();
  CHECK(peak >= 4000);
}

}  // namespace tapeloop::test
