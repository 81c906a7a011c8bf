// SPDX-License-Identifier: MIT
// Encoder, bridge, decoder and scheduled sampling: gradients, several ways to run one decoder,
// learning. decoding_test.cpp tests search over any model.
#include "tapeloop/nn/seq2seq/seq2seq.h"
#include "tapeloop/nn/cells/cells.h"

#include "tapeloop/nn/layers/init.h"
#include "tapeloop/nn/seq2seq/scheduled_sampling.h"
#include "tapeloop/optim/adam.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

// A user's cell: one part, no input(), reads x at each step.
struct LeakyCell {
  using State = nn::State<1>;
  Var w, u;
  LeakyCell() = default;
  LeakyCell(const RecurrentOptions& o, Random& random)
      : w(uniform_parameter({o.hidden, o.input}, 0.7, random, o.dtype)),
        u(uniform_parameter({o.hidden, o.hidden}, 0.7, random, o.dtype)) {}
  std::array<std::int64_t, 1> state_sizes() const { return {u.dim(0)}; }
  State step(const Var& x, const State& s) const {
    return State(0.5 * s.h() + 0.5 * tanh(linear(s.h(), u, linear(x, w))));
  }
  void visit(Visitor& v) const {
    v("w", w);
    v("u", u);
  }
};
static_assert(Cell<LeakyCell> && !HasInput<LeakyCell> && !HasRecurrence<LeakyCell>);

// A cell with twice the units that its options name.
struct WideCell : LeakyCell {
  WideCell(const RecurrentOptions& o, Random& random) : LeakyCell(doubled(o), random) {}
  static RecurrentOptions doubled(RecurrentOptions o) {
    o.hidden *= 2;
    return o;
  }
};

struct Kind {
  Attend attend;
  Score score;
  bool feeding;
};
const Kind kKinds[] = {
    {Attend::before_step, Score::additive, false}, {Attend::before_step, Score::general, false},
    {Attend::after_step, Score::cosine, false},    {Attend::after_step, Score::additive, true},
    {Attend::after_step, Score::general, true},    {Attend::never, Score::dot, false}};

Seq2SeqOptions small(const Kind& kind, DType dtype = DType::float64, int layers = 1) {
  // Then the decoder is as wide as the encoder's output.
  const bool both = kind.score == Score::cosine;
  return {
      .source_vocabulary = 6,
      .encoder = {.input = 3, .hidden = 2, .layers = layers, .bidirectional = true, .dtype = dtype},
      .decoder = {.vocabulary = 5,
                  .embedding = 3,
                  .cell = {.hidden = both ? 4 : 3, .layers = layers, .dtype = dtype},
                  .attend = kind.attend,
                  .attention = {.score = kind.score},
                  .input_feeding = kind.feeding}};
}

const Tensor kSource = test::index_tensor({4, 3}, 6, 1);
const Tensor kTarget = test::index_tensor({3, 3}, 5, 2);
const std::vector<std::int64_t> kLengths{4, 2, 1};

template <class E, class D>
void check_model(int layers) {
  for (const Kind& kind : kKinds) {
    CAPTURE(static_cast<int>(kind.attend));
    CAPTURE(static_cast<int>(kind.score));
    Random random(3);
    const Seq2Seq<E, D> model(small(kind, DType::float64, layers), random);
    const auto function = [&] { return model(model.encode(kSource, kLengths), kTarget); };
    for (const bool second : {false, true}) {
      if (second && layers > 1) continue;
      const GradcheckReport report =
          gradcheck(function, parameters(model), {.second_order = second});
      CHECK_MESSAGE(report.ok, report.str());
    }
  }
}

TEST_CASE("gradients of a GRU model are right to second order, whatever its attention") {
  check_model<GruCell, GruCell>(1);
}
TEST_CASE("gradients of a user's cell before an LSTM are right to second order") {
  check_model<LeakyCell, LstmCell>(1);
}
TEST_CASE("gradients of two layers of LSTM before a user's cell are right") {
  check_model<LstmCell, LeakyCell>(2);
}

TEST_CASE("a decoder fed the truth gives the logits of its single steps") {
  for (const Kind& kind : kKinds) {
    Random random(5);
    const Seq2Seq<LstmCell> model(small(kind, DType::float64, 2), random);
    const auto encoded = model.encode(kSource, kLengths);
    const Tensor whole = model(encoded, kTarget).value();
    REQUIRE(whole.shape() == Shape{3, 3, 5});
    DecoderState<LstmCell> state = encoded.state;
    for (std::int64_t t = 0; t < 3; ++t) {
      const Decoded one = model.decoder.step(kTarget.select(0, t), state, encoded.source);
      CHECK(test::distance(model.decoder.output(one.features).value(), whole.select(0, t)) < 1e-14);
      if (kind.attend == Attend::never) {
        CHECK(!one.weights.defined());
        continue;
      }
      REQUIRE(one.weights.shape() == Shape{3, 4});
      for (std::int64_t n = 0; n < 3; ++n) {
        double total = 0;
        for (std::int64_t s = 0; s < 4; ++s) {
          const double w = one.weights.value().at({n, s});
          if (s >= kLengths[static_cast<std::size_t>(n)]) CHECK(w == 0);
          total += w;
        }
        CHECK(total == doctest::Approx(1).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("a sentence in a batch has the logits that it has alone") {
  for (const Kind& kind : kKinds) {
    Random random(6);
    const Seq2Seq<GruCell> model(small(kind), random);
    const Tensor together = model(model.encode(kSource, kLengths), kTarget).value();
    for (std::int64_t n = 0; n < 3; ++n) {
      const Tensor own =
          kSource.slice(1, n, n + 1).slice(0, 0, kLengths[static_cast<std::size_t>(n)]);
      const Tensor alone =
          model(model.encode(own.contiguous()), kTarget.slice(1, n, n + 1).contiguous()).value();
      CHECK(test::distance(alone, together.slice(1, n, n + 1)) < 1e-13);
    }
  }
}

TEST_CASE(
    "beams over a decoder: width 1 is greedy, batched is one by one, the score is the model's") {
  for (const Kind& kind : kKinds) {
    Random random(8);
    const Seq2Seq<GruCell> model(small(kind), random);
    for (const NamedVar& p : parameters(model)) {  // far from uniform distributions
      p.var.value().copy_from((Var(p.var.value()) * 3.0).value());
    }
    const auto encoded = model.encode(kSource, kLengths);
    BeamOptions o;
    o.max_length = 6;
    o.beams = 1;
    DecoderSearch<GruCell> one(model.decoder, encoded), two(model.decoder, encoded),
        three(model.decoder, encoded);
    const auto greedy = decode_greedily(one, o);
    const auto narrow = beam_search(two, o);
    for (std::size_t n = 0; n < 3; ++n) CHECK(narrow[n].at(0).symbols == greedy[n].symbols);
    o.beams = 3;
    o.n_best = 3;
    o.length_penalty = 0.6;
    const auto together = beam_search(three, o);
    for (std::int64_t n = 0; n < 3; ++n) {
      const auto i = static_cast<std::size_t>(n);
      const Tensor own = kSource.slice(1, n, n + 1).slice(0, 0, kLengths[i]).contiguous();
      const auto read = model.encode(own);
      DecoderSearch<GruCell> single(model.decoder, read);
      const auto alone = beam_search(single, o)[0];
      REQUIRE(alone.size() == together[i].size());
      for (std::size_t k = 0; k < alone.size(); ++k) {
        CHECK(alone[k].symbols == together[i][k].symbols);
        CHECK(alone[k].score == doctest::Approx(together[i][k].score).epsilon(1e-12));
        // With its own output as input, the decoder gives the same probability.
        std::vector<std::int64_t> all{o.start};
        all.insert(all.end(), alone[k].symbols.begin(), alone[k].symbols.end());
        if (alone[k].ended) all.push_back(o.end);
        const auto steps = static_cast<std::int64_t>(all.size()) - 1;
        const Tensor fed = Tensor::from({steps + 1, 1}, all);
        const Var loss =
            cross_entropy(model(read, fed.slice(0, 0, steps).contiguous()),
                          fed.slice(0, 1, steps + 1).contiguous(), {.reduce = Reduce::sum});
        CHECK(-loss.item() == doctest::Approx(alone[k].log_probability).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE(
    "scheduled sampling feeds the truth as often as asked, and otherwise what the model says") {
  Random random(9);
  const Seq2Seq<GruCell> model(small(kKinds[3]), random);
  const auto encoded = model.encode(kSource, kLengths);
  const auto logits = [&](double p, std::uint64_t seed) {
    Random draws(seed);
    return model(encoded, kTarget, p, draws).value();
  };
  const Tensor truth = model(encoded, kTarget).value();
  CHECK(test::same_bits(logits(1, 1), truth));
  CHECK(test::same_bits(logits(0.5, 1), logits(0.5, 1)));
  // The input of the first step is always the start symbol.
  CHECK(test::distance(logits(0, 1).select(0, 0), truth.select(0, 0)) < 1e-14);
  // A model that is certain of symbol 2: with probability 0 of the truth all later steps get symbol
  // 2.
  model.decoder.output.bias.value().select(0, 2).fill(1000);
  const Tensor said = kTarget.clone();
  said.slice(0, 1, 3).fill(2);
  CHECK(test::distance(logits(0, 3), model(encoded, said).value()) < 1e-12);
  CHECK(test::throws_with("decoder|probability of the truth is -0.1", [&] { logits(-0.1, 1); }));
  int of_truth = 0;
  const Tensor ones = Tensor::full({2000}, 1, DType::int64);
  const Var certain(Tensor::from<double>({1, 3}, {0, 0, 1000}).expand({2000, 3}).contiguous());
  for (std::int64_t s :
       detail::mixed_symbols(ones, certain, 0.3, random).to_vector<std::int64_t>()) {
    CHECK((s == 1 || s == 2));
    of_truth += s == 1 ? 1 : 0;
  }
  CHECK(std::abs(of_truth - 600) < 4 * std::sqrt(2000 * 0.3 * 0.7));
}

TEST_CASE("gradients under scheduled sampling are right where the draws are the same") {
  Random random(10);
  const Seq2Seq<GruCell> model(small(kKinds[0]), random);
  const GradcheckReport report = gradcheck(
      [&] {
        Random draws(11);
        return model(model.encode(kSource, kLengths), kTarget, 0.4, draws);
      },
      parameters(model));
  CHECK_MESSAGE(report.ok, report.str());
}

TEST_CASE("the three schedules are those of the paper") {
  using Decay = ScheduledSampling::Decay;
  CHECK(ScheduledSampling{}.truth_probability(1000) == 1);
  const ScheduledSampling linear{.decay = Decay::linear, .slope = 0.001, .at_least = 0.2};
  CHECK(linear.truth_probability(0) == 1);
  CHECK(linear.truth_probability(300) == doctest::Approx(0.7).epsilon(1e-14));
  CHECK(linear.truth_probability(5000) == 0.2);
  const ScheduledSampling exponential{.decay = Decay::exponential, .k = 0.99};
  CHECK(exponential.truth_probability(200) == doctest::Approx(std::pow(0.99, 200)).epsilon(1e-14));
  const ScheduledSampling sigmoid{.decay = Decay::inverse_sigmoid, .k = 50};
  CHECK(sigmoid.truth_probability(200) ==
        doctest::Approx(50 / (50 + std::exp(4.0))).epsilon(1e-14));
  CHECK(sigmoid.truth_probability(1000000) == 0);  // e^20000 is infinite
  CHECK(test::throws_with("scheduled_sampling|exponential with k 1", [] {
    ScheduledSampling{.decay = Decay::exponential, .k = 1}.truth_probability(1);
  }));
  CHECK(test::throws_with("scheduled_sampling|inverse sigmoid with k 0", [] {
    ScheduledSampling{.decay = Decay::inverse_sigmoid}.truth_probability(1);
  }));
  CHECK(test::throws_with("scheduled_sampling|update is -1",
                          [] { ScheduledSampling{}.truth_probability(-1); }));
}

TEST_CASE("a model's results and gradients have the same bits for any number of threads") {
  Random random(16);
  const Seq2Seq<GruCell> model({.source_vocabulary = 20,
                                .encoder = {.input = 24, .hidden = 48, .bidirectional = true},
                                .decoder = {.vocabulary = 30,
                                            .embedding = 24,
                                            .cell = {.hidden = 64},
                                            .attend = Attend::after_step,
                                            .attention = {.score = Score::general},
                                            .input_feeding = true}},
                               random);
  const Tensor source = test::index_tensor({23, 17}, 20, 1),
               target = test::index_tensor({11, 17}, 30, 2);
  std::vector<std::int64_t> lengths(17, 23);
  lengths[3] = 1;
  const auto run = [&](int threads) {
    const test::Threads scope(threads);
    Tape tape;
    std::vector<Tensor> all{};
    const Var loss = cross_entropy(model(model.encode(source, lengths), target), target);
    all.push_back(loss.value());
    std::vector<Var> vars;
    for (const NamedVar& p : parameters(model)) vars.push_back(p.var);
    for (const Var& g : tape.gradient(loss, vars)) all.push_back(g.value().contiguous());
    return all;
  };
  const std::vector<Tensor> one = run(1), three = run(3);
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(test::same_bits(one[i], three[i]));
}

TEST_CASE("the features of a decoder are as many as a cell's outputs, also those fed") {
  Random random(14);
  DecoderOptions options{.vocabulary = 5,
                         .embedding = 3,
                         .cell = {.hidden = 4},
                         .attend = Attend::after_step,
                         .source = 2};
  CHECK(Decoder<WideCell>(options, random).combine.weight.shape() == Shape{8, 2 + 8});
  options.input_feeding = true;
  const Decoder<WideCell> fed(options, random);
  CHECK(fed.combine.weight.shape() == Shape{8, 2 + 8});
  CHECK(fed.cells[0].w.shape() == Shape{8, 3 + 8});
  CHECK(Decoder<LstmCell>(options, random, {.projection = 3}).combine.weight.shape() ==
        Shape{3, 2 + 3});
}

TEST_CASE("a model whose parts do not fit is refused when it is made") {
  Random random(14);
  Seq2SeqOptions o = small(kKinds[0], DType::float32, 1);
  o.decoder.source = 99;
  CHECK(test::throws_with("seq2seq|decoder.source is 99", [&] { Seq2Seq<GruCell>(o, random); }));
  o = small(kKinds[0], DType::float32, 1);
  o.encoder.dtype = DType::float64;
  CHECK(test::throws_with("seq2seq|encoder.dtype is float64 and decoder.cell.dtype float32",
                          [&] { Seq2Seq<GruCell>(o, random); }));
  CHECK(test::throws_with("bridge|the encoder's state has 1 parts, the decoder's 2", [&] {
    Bridge({.kind = BridgeKind::copy, .from = {5}, .to = {5, 5}}, random);
  }));
}

TEST_CASE("a search leaves the model as it was: the next one finds the same") {
  Random random(15);
  const Seq2Seq<LstmCell> model(small(kKinds[3], DType::float64, 2), random);
  DecoderSearch<LstmCell> search(model.decoder, model.encode(kSource, kLengths));
  BeamOptions o;
  o.start = 0;
  o.end = 1;
  o.max_length = 5;
  o.beams = 3;
  const auto first = beam_search(search, o);
  const auto greedy = decode_greedily(search, o);
  const auto again = beam_search(search, o);
  const auto greedy_again = decode_greedily(search, o);
  for (std::size_t i = 0; i < first.size(); ++i) {
    CHECK(first[i][0].symbols == again[i][0].symbols);
    CHECK(first[i][0].log_probability == again[i][0].log_probability);
    CHECK(greedy[i].symbols == greedy_again[i].symbols);
    CHECK(greedy[i].log_probability == greedy_again[i].log_probability);
  }
}

TEST_CASE("a small model learns to reverse, and its attention runs backwards") {
  constexpr std::int64_t kSteps = 4, kBatch = 32, kSymbols = 6;  // start 0, end 1, four letters
  Random random(14);
  const Seq2Seq<GruCell> model(
      {.source_vocabulary = kSymbols,
       .encoder = {.input = 12, .hidden = 16, .bidirectional = true},
       .decoder = {.vocabulary = kSymbols, .embedding = 12, .cell = {.hidden = 16}}},
      random);
  optim::Adam adam(parameters(model), {.learning_rate = 0.01});
  Random draws(15);
  const auto batch = [&](Tensor& source, Tensor& fed, Tensor& wanted) {
    source = Tensor::empty({kSteps, kBatch}, DType::int64);
    fed = Tensor::zeros({kSteps + 1, kBatch}, DType::int64);
    wanted = Tensor::full({kSteps + 1, kBatch}, 1, DType::int64);
    for (std::int64_t t = 0; t < kSteps; ++t) {
      for (std::int64_t n = 0; n < kBatch; ++n) {
        const auto symbol = static_cast<std::int64_t>(2 + draws.below(4));
        source.data<std::int64_t>()[t * kBatch + n] = symbol;
        wanted.data<std::int64_t>()[(kSteps - 1 - t) * kBatch + n] = symbol;
        fed.data<std::int64_t>()[(kSteps - t) * kBatch + n] = symbol;
      }
    }
  };
  Tensor source, fed, wanted;
  for (int update = 0; update < 300; ++update) {
    batch(source, fed, wanted);
    Tape tape;
    adam.zero_grad();
    tape.backward(cross_entropy(model(model.encode(source), fed), wanted));
    adam.step();
  }
  batch(source, fed, wanted);
  DecoderSearch<GruCell> search(model.decoder, model.encode(source));
  BeamOptions o;
  o.max_length = 8;
  const auto found = beam_search(search, o);
  int right = 0, backwards = 0;
  for (std::int64_t n = 0; n < kBatch; ++n) {
    const Hypothesis& h = found[static_cast<std::size_t>(n)][0];
    std::vector<std::int64_t> expected = wanted.select(1, n).to_vector<std::int64_t>();
    expected.pop_back();
    right += h.symbols == expected && h.ended ? 1 : 0;
    if (h.symbols != expected) continue;
    for (std::int64_t t = 0; t < kSteps; ++t)
      backwards +=
          argmax(h.weights.select(0, t).contiguous()).item() == static_cast<double>(kSteps - 1 - t)
              ? 1
              : 0;
  }
  CHECK(right >= 31);
  // Of 128 written letters: the one with the largest weight is the right one.
  CHECK(backwards > 100);
}

}  // namespace
}  // namespace tapeloop::nn
