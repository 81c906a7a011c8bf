// SPDX-License-Identifier: MIT
// The four tasks.
#include "examples/cells/tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "examples/char_lm/corpus.h"
#include "examples/common/pictures/digits.h"
#include "tapeloop/autograd/ops/losses.h"
#include "tapeloop/autograd/tensor/error.h"

namespace cells {

using namespace tapeloop;

namespace {

constexpr std::uint64_t kTestSeed = 0x7e57;  // of samples that no training draws
constexpr std::int64_t kTestSamples = 500;

Random stream(std::uint64_t seed, std::int64_t update) {
  return Random(seed * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(update));
}

std::int64_t below(std::int64_t n, Random& random) {
  return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(n)));
}

Var last_step(const Var& ys) { return select_index(ys, 0, ys.dim(0) - 1); }

// A task without data: samples are drawn.
class DrawnTask : public Task {
 public:
  const TaskFacts& facts() const override { return facts_; }
  void draw(std::uint64_t seed, std::int64_t update) override {
    samples_ = drawn(batch_, stream(seed, update + 1));
  }
  Var loss(const Model& model) const override { return loss_of(model, samples_); }
  double test(const Model& model) const override {
    return loss_of(model, drawn(kTestSamples, stream(kTestSeed, 0))).item();
  }

 protected:
  struct Samples {
    Tensor x, answer;
  };
  DrawnTask(std::int64_t batch, TaskFacts facts) : batch_(batch), facts_(std::move(facts)) {}
  virtual Samples drawn(std::int64_t n, Random random) const = 0;
  virtual Var loss_of(const Model& model, const Samples& samples) const = 0;

 private:
  std::int64_t batch_;
  TaskFacts facts_;
  Samples samples_;
};

// The sum of the two marked numbers of T. Hochreiter & Schmidhuber 1997
class Adding final : public DrawnTask {
 public:
  explicit Adding(const TaskSettings& s)
      : DrawnTask(s.batch, {"adding", fmt::format("Adding problem, {} steps", s.length),
                            "squared error", s.length, 2, 1, 1.0 / 6}) {}

 private:
  // x [T, N, 2], answer [N, 1]
  Samples drawn(std::int64_t n, Random random) const override {
    const std::int64_t steps = facts().steps, half = steps / 2;
    Samples result{Tensor::zeros({steps, n, 2}), Tensor::zeros({n, 1})};
    float* const x = result.x.data<float>();
    float* const sums = result.answer.data<float>();
    for (std::int64_t i = 0; i < steps * n; ++i) x[2 * i] = static_cast<float>(random.uniform());
    for (std::int64_t i = 0; i < n; ++i) {
      for (const std::int64_t t : {below(half, random), half + below(steps - half, random)}) {
        x[2 * (t * n + i) + 1] = 1;
        sums[i] += x[2 * (t * n + i)];
      }
    }
    return result;
  }
  Var loss_of(const Model& model, const Samples& samples) const override {
    common::Memory memory;
    return mse(model.head(last_step(model.layers(Var(samples.x), memory))), samples.answer);
  }
};

// Symbols are read, then blanks; after a mark the symbols are said again. Hochreiter &
// Schmidhuber 1997, Arjovsky et al. 2016, arXiv:1511.06464
class Copy final : public DrawnTask {
 public:
  explicit Copy(const TaskSettings& s) : Copy(s, std::max<std::int64_t>(s.length, 2 * kSaid + 1)) {}

 private:
  static constexpr std::int64_t kSymbols = 8, kBlank = 8, kMark = 9, kSaid = 5;
  Copy(const TaskSettings& s, std::int64_t steps)
      : DrawnTask(
            s.batch,
            {"copy", fmt::format("Copy memory, {} symbols over {} steps", kSaid, steps - 2 * kSaid),
             "nats per symbol", steps, kSymbols + 2, kSymbols,
             std::log(static_cast<double>(kSymbols))}) {}
  // x [T, N], answer [kSaid * N]
  Samples drawn(std::int64_t n, Random random) const override {
    const std::int64_t steps = facts().steps;
    Samples result{Tensor::full({steps, n}, kBlank, DType::int64),
                   Tensor::empty({kSaid * n}, DType::int64)};
    auto* const x = result.x.data<std::int64_t>();
    auto* const said = result.answer.data<std::int64_t>();
    for (std::int64_t i = 0; i < kSaid * n; ++i) x[i] = said[i] = below(kSymbols, random);
    std::fill_n(x + (steps - kSaid - 1) * n, n, kMark);
    return result;
  }
  Var loss_of(const Model& model, const Samples& samples) const override {
    common::Memory memory;
    const Var ys = model.layers(samples.x, memory);
    const std::int64_t steps = ys.dim(0), n = ys.dim(1);
    const Var tail = reshape(slice(ys, 0, steps - kSaid, steps), {kSaid * n, ys.dim(2)});
    return cross_entropy(model.head(tail), samples.answer);
  }
};

// Images of digits, read in blocks of 2 x 2 pixels from the first to the last row.
class SequentialDigits final : public Task {
 public:
  explicit SequentialDigits(const TaskSettings& s)
      : batch_(s.batch), digits_(common::read_digits(s.data)) {
    const std::int64_t side = digits_.size / kBlock;
    facts_ = {"digits",         fmt::format("Digits as sequences of {} blocks", side * side),
              "nats per image", side * side,
              kBlock * kBlock,  10,
              std::log(10.0)};
    order_.resize(digits_.labels.size());
    std::iota(order_.begin(), order_.end(), 0);
    Random random(kTestSeed);
    for (std::size_t i = order_.size(); i-- > 1;) {
      std::swap(order_[i], order_[random.below(i + 1)]);
    }
    test_count_ = std::min<std::int64_t>(1000, digits_.count() / 5);
  }
  const TaskFacts& facts() const override { return facts_; }
  void draw(std::uint64_t seed, std::int64_t update) override {
    Random random = stream(seed, update);
    chosen_.clear();
    for (std::int64_t i = 0; i < batch_; ++i) {
      chosen_.push_back(order_[static_cast<std::size_t>(
          test_count_ + below(digits_.count() - test_count_, random))]);
    }
  }
  Var loss(const Model& model) const override { return loss_of(model, chosen_, 0, batch_); }
  double test(const Model& model) const override {
    constexpr std::int64_t kAtOnce = 100;
    double sum = 0;
    for (std::int64_t first = 0; first < test_count_; first += kAtOnce) {
      const std::int64_t n = std::min(kAtOnce, test_count_ - first);
      sum += loss_of(model, order_, first, n).item() * static_cast<double>(n);
    }
    return sum / static_cast<double>(test_count_);
  }

 private:
  static constexpr std::int64_t kBlock = 2;
  Var loss_of(const Model& model, const std::vector<std::int64_t>& images, std::int64_t first,
              std::int64_t n) const {
    const Tensor blocks = common::in_blocks(digits_, images, first, n, kBlock);
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t image = images[static_cast<std::size_t>(first + i)];
      labels.push_back(digits_.labels[static_cast<std::size_t>(image)]);
    }
    common::Memory memory;
    const Var ys = model.layers(Var(blocks.reshape({facts_.steps, n, kBlock * kBlock})), memory);
    return cross_entropy(model.head(last_step(ys)), Tensor::from({n}, labels));
  }
  std::int64_t batch_, test_count_ = 0;
  common::Digits digits_;
  TaskFacts facts_;
  std::vector<std::int64_t> order_, chosen_;
};

// The next character of a text.
class Characters final : public Task {
 public:
  explicit Characters(const TaskSettings& s)
      : batch_(s.batch),
        corpus_(s.text.empty() ? char_lm::split_lines(std::string(char_lm::dinosaur_names()))
                               : char_lm::split_text(char_lm::read_text(s.text))),
        vocabulary_(corpus_.train + corpus_.validation) {
    facts_ = {"characters",
              s.text.empty() ? "Characters of dinosaur names" : "Characters of a text",
              "nats per character",
              kSteps,
              vocabulary_.size(),
              vocabulary_.size(),
              0};
    // The text to be read as a few streams, which keeps the test short.
    const std::string text = corpus_.validation.substr(0, kTestBytes);
    const auto count = static_cast<std::int64_t>(text.size()) - 1, length = count / kTestStreams;
    if (length < 1) fail("--text", "the text is too short: its last tenth is for the test");
    std::vector<std::int64_t> x, y;
    for (std::int64_t t = 0; t < length; ++t) {
      for (std::int64_t i = 0; i < kTestStreams; ++i) {
        const auto at = static_cast<std::size_t>(i * length + t);
        x.push_back(vocabulary_.index(text[at]));
        y.push_back(vocabulary_.index(text[at + 1]));
      }
    }
    test_x_ = Tensor::from({length, kTestStreams}, x);
    test_y_ = Tensor::from({length * kTestStreams}, y);
  }
  const TaskFacts& facts() const override { return facts_; }
  void draw(std::uint64_t seed, std::int64_t update) override {
    if (!streams_ || seed != seed_) {
      seed_ = seed;
      streams_ =
          std::make_unique<char_lm::Streams>(corpus_, vocabulary_, batch_, kSteps, stream(seed, 0));
    }
    samples_ = streams_->at(update);
    if (samples_.fresh) memory_.clear();
  }
  Var loss(const Model& model) const override {
    common::Memory memory = memory_;
    const Var nats = loss_of(model, samples_.x, samples_.y.reshape({samples_.y.numel()}), memory);
    if (Tape::current() != nullptr) memory_ = memory;
    return nats;
  }
  double test(const Model& model) const override {
    common::Memory memory;
    return loss_of(model, test_x_, test_y_, memory).item();
  }

 private:
  static constexpr std::int64_t kSteps = 50, kTestStreams = 16;
  static constexpr std::size_t kTestBytes = 30000;
  static Var loss_of(const Model& model, const Tensor& x, const Tensor& y, common::Memory& memory) {
    const Var ys = model.layers(x, memory);
    return cross_entropy(model.head(reshape(ys, {ys.dim(0) * ys.dim(1), ys.dim(2)})), y);
  }
  std::int64_t batch_;
  char_lm::Corpus corpus_;
  char_lm::Vocabulary vocabulary_;
  TaskFacts facts_;
  std::unique_ptr<char_lm::Streams> streams_;
  std::uint64_t seed_ = 0;
  char_lm::Batch samples_;
  mutable common::Memory memory_;  // the state after the last update
  Tensor test_x_, test_y_;
};

}  // namespace

std::vector<std::string> task_names() { return {"adding", "copy", "digits", "characters"}; }

std::unique_ptr<Task> make_task(const std::string& name, const TaskSettings& settings) {
  if (name == "adding") return std::make_unique<Adding>(settings);
  if (name == "copy") return std::make_unique<Copy>(settings);
  if (name == "characters") return std::make_unique<Characters>(settings);
  return settings.data.empty() ? nullptr : std::make_unique<SequentialDigits>(settings);
}

}  // namespace cells
