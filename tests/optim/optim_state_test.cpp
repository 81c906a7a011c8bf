// SPDX-License-Identifier: MIT
// Saved states of optimizers: their contents, the states that are refused, and groups that are
// matched by names of parameters.
#include <memory>
#include <string>

#include "tapeloop/nn/save/checkpoint.h"
#include "tapeloop/optim/adagrad.h"
#include "tapeloop/optim/adam.h"
#include "tapeloop/optim/nag.h"
#include "tapeloop/optim/rmsprop.h"
#include "tapeloop/optim/sgd.h"
#include "tests/optim/optimizers.h"

namespace tapeloop::optim {
namespace {

const Tensor& find(const StateDict& state, const std::string& name) {
  for (const NamedTensor& item : state) {
    if (item.name == name) return item.tensor;
  }
  FAIL("no tensor ", name);
  return state.at(0).tensor;
}

struct Rated {  // a group
  ParameterList parameters;
  double rate;
};
using Make = std::unique_ptr<Optimizer> (*)(const std::vector<Rated>&);

template <class O, class Options>
std::unique_ptr<Optimizer> make(const std::vector<Rated>& rated, const Options& options) {
  std::vector<Group<Options>> groups;
  for (const Rated& r : rated) {
    groups.push_back({r.parameters, options});
    groups.back().options.learning_rate = r.rate;
  }
  return std::make_unique<O>(groups);
}

const Make kRules[] = {
    [](const std::vector<Rated>& g) { return make<Sgd>(g, SgdOptions{}); },
    [](const std::vector<Rated>& g) { return make<Sgd>(g, SgdOptions{.momentum = 0.9}); },
    [](const std::vector<Rated>& g) { return make<Nag>(g, NagOptions{}); },
    [](const std::vector<Rated>& g) { return make<RmsProp>(g, RmsPropOptions{.centered = true}); },
    [](const std::vector<Rated>& g) { return make<Adam>(g, AdamOptions{}); },
    [](const std::vector<Rated>& g) { return make<AdamW>(g, AdamWOptions{}); },
    [](const std::vector<Rated>& g) { return make<Adam>(g, AdamOptions{.amsgrad = true}); },
    [](const std::vector<Rated>& g) { return make<Adagrad>(g, AdagradOptions{}); },
};

ParameterList named(const std::string& prefix) {
  ParameterList list = parameters_of({{5}, {2, 3}}, DType::float32);
  for (NamedVar& p : list) p.name = prefix + "." + p.name;
  return list;
}
ParameterList joined(ParameterList a, const ParameterList& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The parameters of both halves of a model, and the optimizer that has trained them for some steps.
struct Run {
  ParameterList encoder = named("enc"), head = named("head");
  std::unique_ptr<Optimizer> optimizer;
  void train(unsigned seed) {
    for (unsigned t = seed; t < seed + 3; ++t) {
      set_gradients(encoder, t);
      set_gradients(head, t + 50);
      optimizer->step();
    }
  }
  void take_values(const Run& other) {
    for (std::size_t i = 0; i < encoder.size(); ++i) {
      encoder[i].var.set_value(other.encoder[i].var.value().clone());
      head[i].var.set_value(other.head[i].var.value().clone());
    }
  }
};

bool same_values(const Run& a, const Run& b) {
  bool same = true;
  for (std::size_t i = 0; i < a.encoder.size(); ++i) {
    same = same && same_bits(a.encoder[i].var.value(), b.encoder[i].var.value()) &&
           same_bits(a.head[i].var.value(), b.head[i].var.value());
  }
  return same;
}

}  // namespace

TEST_CASE("a saved state is a copy with one name for each thing that is kept") {
  ParameterList parameters = parameters_of({{5}}, DType::float64);
  Adam adam(parameters, {.amsgrad = true});
  StateDict saved = adam.state_dict();
  std::string names;
  for (const NamedTensor& item : saved) names += item.name + "=" + item.tensor.describe() + " ";
  CHECK(
      names ==
      "exp_avg.p0=float64[5] exp_avg_sq.p0=float64[5] max_exp_avg_sq.p0=float64[5] step.p0=int64[] "
      "group.p0=int64[] rate.p0=float64[] steps=int64[] ");
  set_gradients(parameters, 1);
  adam.step();
  CHECK(find(saved, "exp_avg.p0").at({0}) == 0);
}

TEST_CASE(
    "a state that does not fit is refused as a whole, with all that is wrong in one message") {
  ParameterList parameters = parameters_of({{5}, {2}}, DType::float32);
  Adam adam(parameters);
  set_gradients(parameters, 1);
  adam.step();
  StateDict before = adam.state_dict();
  StateDict bad = adam.state_dict();
  bad[0].tensor = Tensor::zeros({4});                             // exp_avg.p0
  bad[1].tensor = Tensor::zeros({5}, DType::float64);             // exp_avg_sq.p0
  bad[2].tensor = Tensor::from<std::int64_t>({}, {-1});           // step.p0
  bad[3].name = "sum.p1";                                         // exp_avg.p1
  bad.push_back({"steps", Tensor::from<std::int64_t>({}, {7})});  // twice
  bad[7].tensor = Tensor::from<double>({}, {kNan});               // rate.p0
  bad[5].tensor = Tensor();                                       // step.p1
  CHECK(message_of([&] { adam.load_state_dict(bad); }) ==
        "adam: load_state_dict: nothing was loaded; the state must come from an optimizer of the "
        "same kind, options, groups and parameter names:\n"
        "  the saved state has \"steps\" (the number of calls of step()) twice\n"
        "  \"exp_avg.p0\" is float32[4], expected float32[5]\n"
        "  \"exp_avg_sq.p0\" is float64[5], expected float32[5]\n"
        "  \"step.p0\" (the step count of \"p0\") is -1, expected 0 or above\n"
        "  the saved state has no \"exp_avg.p1\"; expected float32[2]\n"
        "  \"step.p1\" (the step count of \"p1\") is an undefined tensor, expected int64[]\n"
        "  \"rate.p0\" (the learning rate of \"p0\") is nan, expected 0 or above\n"
        "  the saved state has \"sum.p1\", float32[2], which this optimizer does not have");
  StateDict after = adam.state_dict();
  for (std::size_t k = 0; k < before.size(); ++k)
    CHECK(same_bits(before[k].tensor, after[k].tensor));
}

// --- groups ---

TEST_CASE("groups in another order get the learning rates of their parameters, for every rule") {
  for (const Make make_optimizer : kRules) {
    Run run;
    run.optimizer = make_optimizer({{run.encoder, 1e-5}, {run.head, 1e-1}});
    run.train(0);
    run.optimizer->set_learning_rate(2e-5, 0);  // a schedule does this too
    Run other;
    other.optimizer = make_optimizer({{other.head, 0.3}, {other.encoder, 0.2}});
    other.take_values(run);
    other.optimizer->load_state_dict(run.optimizer->state_dict());
    CHECK(other.optimizer->learning_rate(0) == 1e-1);
    CHECK(other.optimizer->learning_rate(1) == 2e-5);
    CHECK(other.optimizer->initial_learning_rate(1) == 0.2);
    run.train(10);
    other.train(10);
    CHECK(same_values(run, other));
  }
}

TEST_CASE("groups that are split or joined otherwise are refused where rates differ, else loaded") {
  for (const Make make_optimizer : kRules) {
    Run apart, whole;
    apart.optimizer = make_optimizer({{apart.encoder, 1e-5}, {apart.head, 1e-1}});
    whole.optimizer = make_optimizer({{joined(whole.encoder, whole.head), 1e-3}});
    apart.train(0);
    whole.train(0);
    const StateDict of_apart = apart.optimizer->state_dict();
    const StateDict of_whole = whole.optimizer->state_dict();
    const std::string both = "enc.p0, enc.p1, head.p0, head.p1 with learning rate 0.001";
    const std::string parts[] = {"enc.p0, enc.p1 with learning rate 1e-05",
                                 "head.p0, head.p1 with learning rate 0.1"};
    const std::string joins = message_of([&] { whole.optimizer->load_state_dict(of_apart); });
    CHECK(has(joins, "nothing was loaded"));
    CHECK(has(joins, "group the parameters as in the saved state:\n    saved: " + parts[0] +
                         "\n    saved: " + parts[1] + "\n    this optimizer: " + both));
    const std::string splits = message_of([&] { apart.optimizer->load_state_dict(of_whole); });
    CHECK(has(splits, "\n    saved: " + both + "\n    this optimizer: " + parts[0] +
                          "\n    this optimizer: " + parts[1]));
    CHECK(whole.optimizer->learning_rate() == 1e-3);
    CHECK(apart.optimizer->learning_rate(1) == 1e-1);

    Run equal;  // split, with one rate for both parts
    equal.optimizer = make_optimizer({{equal.head, 0.5}, {equal.encoder, 0.5}});
    equal.optimizer->load_state_dict(of_whole);
    CHECK(equal.optimizer->learning_rate(0) == 1e-3);
    CHECK(equal.optimizer->learning_rate(1) == 1e-3);
    whole.optimizer->load_state_dict(equal.optimizer->state_dict());  // joined again
    CHECK(whole.optimizer->learning_rate() == 1e-3);
  }
}

TEST_CASE("a parameter that is renamed, left out or added is refused by name") {
  Run run;
  run.optimizer = kRules[0]({{run.encoder, 1e-5}, {run.head, 1e-1}});
  const StateDict saved = run.optimizer->state_dict();
  ParameterList renamed = run.head;
  renamed[1].name = "head.q";
  const auto loading = [&](const std::vector<Rated>& groups) {
    const std::unique_ptr<Optimizer> other = kRules[0](groups);
    return message_of([&] { other->load_state_dict(saved); });
  };
  const std::string other_name = loading({{run.encoder, 1e-5}, {renamed, 1e-1}});
  CHECK(has(other_name,
            "the saved state has no \"rate.head.q\" (the learning rate of \"head.q\"); expected "
            "float64[]"));
  CHECK(has(
      other_name,
      "the saved state has \"group.head.p1\" (the group number of \"head.p1\"), int64[], which"));
  CHECK(
      has(loading({{run.encoder, 1e-5}}),
          "the saved state has \"step.head.p0\" (the step count of \"head.p0\"), int64[], which"));
  CHECK(has(
      loading({{run.encoder, 1e-5}, {joined(run.head, named("new")), 1e-1}}),
      "the saved state has no \"step.new.p1\" (the step count of \"new.p1\"); expected int64[]"));
}

TEST_CASE("a checkpoint of the form that had rates by position is loaded") {
  const nn::Checkpoint saved = nn::read_checkpoint("tests/data/adam_rates_by_position.safetensors");
  const StateDict& model = saved.section("model");
  const StateDict& state = saved.section("optimizer");
  REQUIRE(find(state, "learning_rate.1").item() == 0.1);
  const auto list = [&](const std::vector<std::string>& names) {
    ParameterList result;
    for (const std::string& name : names) result.push_back({name, parameter(find(model, name))});
    return result;
  };
  const ParameterList encoder = list({"enc.weight", "enc.bias"}), head = list({"head.weight"});
  Adam adam({{encoder, {}}, {head, {}}});
  adam.load_state_dict(state);
  CHECK(adam.learning_rate(0) == 1e-5);
  CHECK(adam.learning_rate(1) == 0.1);
  CHECK(adam.steps() == 3);
  const StateDict now = adam.state_dict();
  CHECK(find(now, "step.enc.bias").item() == 2);
  CHECK(find(now, "group.head.weight").item() == 1);
  CHECK(find(now, "rate.enc.bias").item() == 1e-5);
  CHECK(same_bits(find(now, "exp_avg.head.weight"), find(state, "exp_avg.head.weight")));
  Adam one(joined(encoder, head));
  CHECK(has(message_of([&] { one.load_state_dict(state); }),
            "the saved state has \"learning_rate.1\" (the learning rate of group 1), float64[]"));
}

TEST_CASE("a parameter may have a number as its name") {
  ParameterList list = parameters_of({{5}, {2}}, DType::float32);
  list[0].name = "1";
  list[1].name = "0";
  Sgd first({{{list[0]}, {.learning_rate = 0.1}}, {{list[1]}, {.learning_rate = 0.2}}});
  Sgd second({{{list[1]}, {}}, {{list[0]}, {}}});
  second.load_state_dict(first.state_dict());
  CHECK(second.learning_rate(0) == 0.2);
  CHECK(second.learning_rate(1) == 0.1);
}

}  // namespace tapeloop::optim
