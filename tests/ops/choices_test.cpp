// SPDX-License-Identifier: MIT
// NaN in operations that choose: NaN wins in values (max, min, argmax, clamp) and is an error in
// probabilities (sampling, greedy decoding, beam search). A loss that is NaN is never the best.
#include "tapeloop/nn/decode/decoding.h"
#include "tapeloop/optim/clip.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A decoder with given logits for each sentence, the same at each step.
class Fixed : public nn::StepDecoder {
 public:
  Fixed(Tensor logits, Tensor weights = {})
      : logits_(std::move(logits)), weights_(std::move(weights)) {}
  std::int64_t sentences() const override { return logits_.dim(0); }
  void restart() override { rows_ = Tensor(); }
  Result step(const Tensor&) override {
    if (!rows_.defined()) return {logits_, weights_};
    return {take(Var(logits_), rows_, 0).value(),
            weights_.defined() ? take(Var(weights_), rows_, 0).value() : Tensor()};
  }
  void select_rows(const Tensor& rows) override {
    std::vector<std::int64_t> sentence;
    for (std::int64_t row : rows.to_vector<std::int64_t>()) sentence.push_back(row % sentences());
    rows_ = Tensor::from<std::int64_t>({rows.dim(0)}, sentence);
  }

 private:
  Tensor logits_, weights_, rows_;
};

}  // namespace

TEST_CASE("argmax chooses the first NaN, else the first of the largest") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    for (const std::int64_t n : {1, 2, 7, 63, 64, 65, 129, 200}) {
      for (const std::int64_t stride : {1, 2}) {
        const Tensor base = random_tensor({1, n * stride}, 5, dtype);
        const Tensor x = base.slice(1, 0, n * stride, stride);
        for (std::int64_t at = 0; at < n; at += 1 + n / 9) {
          const Tensor with = x.clone();
          with.slice(1, at, at + 1).fill(kNan);
          with.slice(1, n - 1, n).fill(kNan);
          CHECK(argmax(with).item() == static_cast<double>(at));
        }
      }
    }
  }
  CHECK(argmax(Tensor::from<float>({4}, {1, 3, 3, 2})).item() == 1);
  CHECK(argmax(Tensor::from<float>({3}, {-INFINITY, -INFINITY, -INFINITY})).item() == 0);
}

TEST_CASE("max, min and clamp give NaN where an element is NaN") {
  for (const std::int64_t n : {1, 5, 64, 300, 5000}) {
    for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
      const Tensor x = random_tensor({n, 3}, 5, DType::float32);
      x.slice(0, at, at + 1).slice(1, 1, 2).fill(kNan);
      for (const Var& y : {max(Var(x), {0}), min(Var(x), {0})}) {
        CHECK(std::isnan(y.value().at({1})));
        CHECK_FALSE(std::isnan(y.value().at({0})));
      }
      CHECK(std::isnan(max(Var(x), {0, 1}).value().item()));
      CHECK(std::isnan(min(Var(x), {1}).value().at({at})));
      CHECK(std::isnan(clamp(Var(x), -1, 1).value().at({at, 1})));
      CHECK(std::isnan(max(Var(x), Var(Tensor::zeros({3}))).value().at({at, 1})));
    }
  }
}

TEST_CASE("decoding throws at NaN where a sentence goes on, and only there") {
  const Tensor good = Tensor::from<float>({2, 3}, {0, 9, 1, 0, 1, 9});  // the first one ends
  const nn::DecodeOptions options{.start = 0, .end = 1, .max_length = 3};
  Random random(1);
  const auto all = [&](const Tensor& logits, auto check) {
    Fixed model(logits);
    check([&] { nn::decode_greedily(model, options); });
    check([&] { nn::decode_by_sampling(model, options, random, {.top_k = 1}); });
    check([&] { nn::beam_search(model, {options}); });
  };
  all(good, [](auto call) { CHECK_NOTHROW(call()); });
  const Tensor bad = good.clone();
  bad.slice(0, 1, 2).slice(1, 0, 1).fill(kNan);
  all(bad, [](auto call) {
    const std::string message = message_of(call);
    CAPTURE(message);
    CHECK(message.find("diverged") != std::string::npos);
    CHECK(message.find('1') != std::string::npos);
  });
}

TEST_CASE("a sentence that has ended may say anything: sampling is like greedy decoding") {
  class Later : public Fixed {
   public:
    using Fixed::Fixed;
    Result step(const Tensor& symbols) override {
      Result result = Fixed::step(symbols);
      if (steps++ > 0) {
        result.logits = result.logits.clone();
        result.logits.slice(0, 0, 1).fill(kNan);
      }
      return result;
    }
    int steps = 0;
  };
  const Tensor logits = Tensor::from<float>({2, 3}, {0, 99, 1, 0, 1, 99});
  const nn::DecodeOptions options{.start = 0, .end = 1, .max_length = 3};
  Random random(1);
  Later greedy(logits), drawn(logits);
  const auto a = nn::decode_greedily(greedy, options);
  const auto b = nn::decode_by_sampling(drawn, options, random);
  for (const auto& found : {a, b}) {
    CHECK(found[0].ended);
    CHECK(found[1].symbols == std::vector<std::int64_t>{2, 2, 2});
  }
}

TEST_CASE("beam search throws at attention weights that are NaN, where they count") {
  const Tensor logits = Tensor::from<float>({1, 3}, {0, 1, 2});
  Fixed model(logits, Tensor::from<float>({1, 2}, {0.5f, NAN}));
  nn::BeamOptions options;
  options.max_length = 3;
  CHECK_NOTHROW(nn::beam_search(model, options));
  options.coverage_penalty = 0.2;
  CHECK(throws_with("beam_search|attention weights of sentence 0 hold NaN",
                    [&] { nn::beam_search(model, options); }));
}

TEST_CASE("what no int64 can hold is refused by name, and nothing is written") {
  const Tensor x = Tensor::from<float>({2, 3}, {0, 1, 2, 3, NAN, 5});
  CHECK(throws_with("to(int64): element [1, 1] of float32[2, 3] is nan; that does not fit in int64",
                    [&] { x.to(DType::int64); }));
  CHECK(throws_with("element [0, 1] of float32[1, 2] is nan",
                    [&] { x.slice(0, 1, 2).slice(1, 0, 2).to(DType::int64); }));
  CHECK(throws_with("is nan", [&] { x.to_vector<std::int64_t>(); }));
  const Tensor to = Tensor::full({2}, 7, DType::int64);
  for (const double bad : {0x1p63, -0x1.8p63, kInfinity, -kInfinity, 1e300, kNan}) {
    CAPTURE(bad);
    const Tensor y = Tensor::from<double>({2}, {1, bad});
    CHECK(throws_with("element [1] of float64[2] is|not fit in int64", [&] { to.copy_from(y); }));
    CHECK(
        throws_with("fill|does not fit in int64|int64[2] was not changed", [&] { to.fill(bad); }));
  }
  CHECK(to.to_vector<std::int64_t>() == std::vector<std::int64_t>{7, 7});
  CHECK(
      Tensor::from<double>({3}, {-0x1p63, 0x1.fffffffffffffp62, -1.9}).to_vector<std::int64_t>() ==
      std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::min(), 9223372036854774784, -1});
}

TEST_CASE("clipping keeps NaN: by value as by norm") {
  const Var w = parameter(Tensor::zeros({3}));
  w.body()->grad = Var(Tensor::from<float>({3}, {5, NAN, -5}));
  optim::clip_grad_value({{"w", w}}, 1);
  CHECK(std::isnan(w.grad().value().at({1})));
  CHECK(w.grad().value().at({0}) == 1);
  for (const double p : {1.0, 2.0, 3.0, kInfinity}) {
    CHECK(std::isnan(optim::clip_grad_norm({{"w", w}}, 1, p, optim::NonFinite::ignore).value()));
  }
}

}  // namespace tapeloop::test
