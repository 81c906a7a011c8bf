// SPDX-License-Identifier: MIT
// A cell by its name: equal to the stack with its type, for every registered cell; what a text may
// say, and what is said of mistakes.
#include "tests/allocations.h"
#include "tests/support.h"

#include "tapeloop/nn/cells/gru.h"
#include "tapeloop/nn/cells/lstm.h"
#include "tapeloop/nn/cells/peephole_lstm.h"
#include "tapeloop/nn/cells/sru.h"
#include "tapeloop/nn/choice/any_cell.h"
#include "tapeloop/nn/seq2seq/seq2seq.h"

namespace tapeloop::nn {
namespace {

using test::allocations;
using test::can_count_allocations;
using test::message_of;
using test::random_tensor;
using test::same_bits;

constexpr std::int64_t kSize = 4;

RecurrentOptions sizes(DType dtype = DType::float64) {
  return {.input = kSize, .hidden = kSize, .dtype = dtype};
}

// The outputs, the last state and all gradients of a stack.
template <class M>
std::vector<Tensor> results_of(const M& model, std::span<const std::int64_t> lengths) {
  const Var xs = parameter(random_tensor({6, 3, kSize}, 8));
  std::vector<Tensor> results;
  Tape tape;
  const auto [ys, last] = model(xs, {}, lengths);
  results.push_back(ys.value());
  Var total = sum(ys * ys);
  for (const Var& part : last) {
    results.push_back(part.value());
    total = total + sum(part);
  }
  tape.backward(total);
  results.push_back(xs.grad().value());
  for (const NamedVar& p : parameters(model)) results.push_back(p.var.grad().value());
  return results;
}

template <Cell C>
void check_equal(const std::string& text, const RecurrentOptions& options,
                 const OptionsOf<C>& own = {}) {
  CAPTURE(text);
  Random first(3), second(3);
  const Recurrent<C> typed(options, first, own);
  const AnyRecurrent any(sizes(), second, text);
  const ParameterList a = parameters(typed), b = parameters(any);
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].name == b[i].name);
    CHECK(same_bits(a[i].var.value(), b[i].var.value()));
  }
  const std::int64_t some[] = {6, 0, 4};
  for (const std::span<const std::int64_t> lengths :
       {std::span<const std::int64_t>{}, std::span<const std::int64_t>(some)}) {
    const std::vector<Tensor> expected = results_of(typed, lengths), got = results_of(any, lengths);
    REQUIRE(expected.size() == got.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(expected[i], got[i]));
  }
}

}  // namespace

TEST_CASE("a chosen stack is the stack with the type, bit for bit") {
  RecurrentOptions options = sizes();
  check_equal<LstmCell>("lstm", options);
  check_equal<LstmCell>("lstm(projection=2, forget_bias=1)", options,
                        {.projection = 2, .forget_bias = 1});
  check_equal<GruCell>(" gru ( reset = before ) ", options, {.reset = GruReset::before});
  check_equal<PeepholeLstmCell>("peephole_lstm(variant=coupled, peephole=full)", options,
                                {.variant = LstmVariant::coupled, .peephole = Peephole::full});
  check_equal<SruCell>("sru(version=1, tanh, scale=1.5)", options,
                       {.version = 1, .tanh = true, .scale = 1.5});
  options.layers = 2;
  options.bidirectional = true;
  options.connection = Connection::highway;
  options.dropout = 0.5;
  options.noise = {.zoneout_h = 0.2, .zoneout_c = 0.1, .inputs = 0.3, .candidates = 0.2};
  check_equal<LstmCell>(
      "lstm(layers=2, bidirectional, connection=highway, dropout=0.5, noise.zoneout_h=0.2, "
      "noise.zoneout_c=0.1, noise.inputs=0.3, noise.candidates=0.2)",
      options);
}

TEST_CASE("every registered cell: gradients, single steps, streaming, symbols, names") {
  CHECK(cell_names().size() >= 17);
  for (const std::string& name : cell_names()) {
    CAPTURE(name);
    Random random(5);
    const AnyRecurrent model(sizes(), random, name);
    const Var xs = parameter(random_tensor({4, 2, kSize}, 7));
    ParameterList list = parameters(model);
    list.push_back({"xs", xs});
    const GradcheckReport report = gradcheck([&] { return model(xs).ys; }, list);
    CHECK_MESSAGE(report.ok, name << "\n" << report.str());

    AnyState state;
    const AnyCell& cell = model.cells()[0];
    for (std::size_t k = 0; k < cell.state_sizes().size(); ++k) {
      state[k] = Var(Tensor::zeros({2, cell.state_sizes()[k]}, DType::float64));
    }
    const Unrolled<AnyState> whole = model(xs);
    for (std::int64_t t = 0; t < 4; ++t) {
      state = cell.step(cell.input(select_index(xs, 0, t)), state);
      CHECK(test::distance(state.h().value(), whole.ys.value().select(0, t)) < 1e-13);
    }
    const Tensor symbols = Tensor::from<std::int64_t>({2, 2}, {0, 3, 2, 1});
    Tensor one_hot = Tensor::zeros({2, 2, kSize}, DType::float64);
    for (std::int64_t i = 0; i < 4; ++i) {
      one_hot.data<double>()[i * kSize + symbols.data<std::int64_t>()[i]] = 1;
    }
    CHECK(test::distance(model(symbols).ys.value(), model(Var(one_hot)).ys.value()) < 1e-13);

    Random other(6);
    const AnyRecurrent second(sizes(), other, name);
    load_state_dict(second, state_dict(model));
    CHECK(same_bits(second(xs).ys.value(), whole.ys.value()));

    Random small(5);
    const AnyRecurrent streamed(sizes(DType::float32), small, name);
    Stepper stepper = make_stepper(streamed);
    const Tensor x = xs.value().select(1, 0).to(DType::float32);
    const Var ys = streamed(insert_axis(Var(x), 1)).ys;
    std::vector<float> y(static_cast<std::size_t>(ys.dim(2)));
    for (std::int64_t t = 0; t < 4; ++t) {
      REQUIRE(stepper.step(x.select(0, t).to_vector<float>(), y));
      const std::vector<double> expected =
          ys.value().to(DType::float64).select(0, t).to_vector<double>();
      CHECK(test::distance(std::vector<double>(y.begin(), y.end()), expected) < 5e-6);
    }
  }
}

TEST_CASE("a chosen stack makes no heap allocations once warm") {
  if (!can_count_allocations()) return;
  for (const std::string& name : cell_names()) {
    CAPTURE(name);
    Random random(1);
    const AnyRecurrent model(sizes(DType::float32), random, name);
    const ParameterList list = parameters(model);
    const Var xs = parameter(random_tensor({5, 3, kSize}, 10, DType::float32));
    const Var dys(random_tensor(model(xs).ys.shape(), 11, DType::float32));
    std::int64_t counted = -1;
    for (int i = 0; i < 4; ++i) {
      const std::int64_t before = allocations();
      {
        Tape tape;
        tape.backward(model(xs).ys, dys);
      }
      for (const NamedVar& p : list) p.var.zero_grad();
      xs.zero_grad();
      counted = allocations() - before;
    }
    CHECK(counted == 0);
  }
}

TEST_CASE("a choice has one text, whatever its spelling, and comes from settings too") {
  CHECK(CellChoice().text() == "lstm");
  CHECK(CellChoice("gru()").text() == "gru");
  const CellChoice choice(" sru( layers = 2,tanh ) ");
  CHECK(choice.text() == "sru(tanh=true, layers=2)");
  CHECK(CellChoice(choice.text()).text() == choice.text());
  CHECK(CellChoice("sru", {{"tanh", "true"}, {"layers", "2"}}).text() == choice.text());
  CHECK(choice.applied_to(sizes()).layers == 2);
  CHECK(choice.applied_to(sizes()).hidden == kSize);
  CHECK(CellChoice("clockwork(periods=1:3:9)").text() == "clockwork(periods=1:3:9)");
  CHECK(cell_options("gru") == "reset=after|before");
  CHECK(cell_options("mgu") == "none");
}

TEST_CASE("a mistake in a choice is answered with the names that there are") {
  const std::string names =
      "clockwork, full_gate_lstm, gru, indrnn, layer_norm_gru, layer_norm_lstm, lmu, lru, lstm";
  CHECK(message_of([] {
          CellChoice("tree");
        }).starts_with("cell: there is no cell 'tree'; choose one of " + names));
  CHECK(message_of([] { CellChoice("gru(rset=after)"); })
            .starts_with(
                "cell: gru has no option 'rset'; its options are reset=after|before; those of "
                "all cells are layers=N, bidirectional=true|false, "));
  CHECK(message_of([] { CellChoice("gru(reset=later)"); }) ==
        "cell: gru: 'later' is no value of reset, expected after|before");
  CHECK(message_of([] { CellChoice("lstm(projection=2.5)"); }) ==
        "cell: lstm: '2.5' is no value of projection, expected N");
  CHECK(message_of([] { CellChoice("clockwork(periods=1::2)"); }) ==
        "cell: clockwork: '1::2' is no value of periods, expected N:N:...");
  CHECK(message_of([] { CellChoice("gru(reset=after, reset=before)"); }) ==
        "cell: gru: reset is given twice");
  CHECK(message_of([] { CellChoice("gru(reset=after"); }) ==
        "cell: 'gru(reset=after' does not end in ')'; write a cell as NAME or NAME(option=value, "
        "option=value)");
  Random random(1);
  CHECK(message_of([&] { AnyCell(sizes(), random, "gru(layers=2)"); }) ==
        "cell: gru(layers=2): layers is an option of a stack; nn::AnyRecurrent takes it");
  const AnyRecurrent gru(sizes(), random, "gru");
  AnyState two;
  two[0] = two[1] = Var(random_tensor({1, 3, kSize}));
  CHECK(message_of([&] {
          gru(Var(random_tensor({2, 3, kSize})), two);
        }) == "recurrent: the initial state has 2 parts, expected 1, those of the cell");
  CHECK(message_of([] { AnyCell().state_sizes(); }).find("default constructor") !=
        std::string::npos);
}

}  // namespace tapeloop::nn
