// SPDX-License-Identifier: MIT
// Calls every public method and operation of autograd with an undefined or moved-from object. Each
// gives an error with a sentence, or the documented answer, and never crashes.
#include "tapeloop/autograd/files/safetensors.h"
#include "tapeloop/autograd/ops/transform_all.h"
#include "tapeloop/autograd/sequence/recurrent.h"
#include "tapeloop/autograd/sequence/stepper.h"
#include "tapeloop/autograd/tape/captured_step.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/optim/sgd.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

struct Call {
  const char* name;
  std::function<void()> call;
};

// Checks that each call throws an Error with a message of at least a sentence.
void check_all_throw(const std::vector<Call>& calls) {
  for (const Call& call : calls) {
    CAPTURE(std::string(call.name));
    std::string message;
    try {
      call.call();
    } catch (const Error& error) {
      message = error.what();
    }
    CHECK(message.size() > 20);
  }
}

Tensor moved_from() {
  Tensor tensor = Tensor::zeros({2, 3});
  const Tensor taken = std::move(tensor);
  return tensor;  // NOLINT
}

std::vector<Call> throwing_tensor_calls(const Tensor& none) {
  const Tensor some = Tensor::zeros({2, 3});
  return {
      {"stride", [=] { none.stride(0); }},
      {"stride -1", [=] { none.stride(-1); }},
      {"dim", [=] { none.dim(0); }},
      {"data", [=] { none.data<float>(); }},
      {"read", [=] { none.read<float>(); }},
      {"mark_written", [=] { none.mark_written(); }},
      {"at", [=] { none.at({}); }},
      {"at 0", [=] { none.at({0}); }},
      {"item", [=] { none.item(); }},
      {"to_vector", [=] { none.to_vector<float>(); }},
      {"transpose", [=] { none.transpose(0, 1); }},
      {"permute", [=] { none.permute({}); }},
      {"slice", [=] { none.slice(0, 0, 0); }},
      {"select", [=] { none.select(0, 0); }},
      {"insert_axis", [=] { none.insert_axis(0); }},
      {"expand", [=] { none.expand({2}); }},
      {"flip", [=] { none.flip(0); }},
      {"reshape", [=] { none.reshape({1}); }},
      {"contiguous", [=] { none.contiguous(); }},
      {"clone", [=] { none.clone(); }},
      {"to type", [=] { none.to(DType::float64); }},
      {"to device", [=] { none.to(Device::cpu); }},
      {"copy_from", [=] { none.copy_from(some); }},
      {"copy_from none", [=] { some.copy_from(none); }},
      {"copy none to none", [=] { none.copy_from(none); }},
      {"fill", [=] { none.fill(1); }},
      {"add_in_place", [=] { add_in_place(none, some); }},
      {"add_in_place none", [=] { add_in_place(some, none); }},
      {"argmax", [=] { argmax(none); }},
      {"parameter", [=] { parameter(none); }},
      {"embedding", [=] { embedding(Var(some), none); }},
      {"take", [=] { take(Var(some), none, 0); }},
      {"gather", [=] { gather(Var(some), none, 0); }},
      {"cross_entropy", [=] { cross_entropy(Var(some), none); }},
      {"ctc_loss", [=] { ctc_loss(Var(some), none, {}, {}); }},
      {"transform", [=] { transform(formula::Square{}, {none}, {some}); }},
      {"transform to none", [=] { transform(formula::Square{}, {some}, {none}); }},
      {"write_safetensors",
       [=] {
         write_safetensors("/nowhere/x.safetensors", {NamedTensor{"x", none}});
       }},
  };
}

std::vector<Call> throwing_var_calls(const Var& none) {
  const Var some = parameter(Tensor::zeros({2, 3}));
  std::vector<Call> calls = {
      {"value", [=] { none.value(); }},
      {"shape", [=] { none.shape(); }},
      {"rank", [=] { none.rank(); }},
      {"dim", [=] { none.dim(0); }},
      {"numel", [=] { none.numel(); }},
      {"dtype", [=] { none.dtype(); }},
      {"device", [=] { none.device(); }},
      {"item", [=] { none.item(); }},
      {"detach", [=] { none.detach(); }},
      {"stop", [=] { stop(none); }},
      {"grad", [=] { none.grad(); }},
      {"set_grad", [=] { none.set_grad(some); }},
      {"zero_grad", [=] { none.zero_grad(); }},
      {"set_value", [=] { none.set_value(some.value()); }},
      {"set_value none", [=] { some.set_value(Tensor()); }},
      {"set_value none of a scalar", [] { parameter(Tensor::zeros({})).set_value(Tensor()); }},
      {"sums", [=] { sum(none); }},
      {"stack",
       [=] {
         stack({some, none});
       }},
      {"concat",
       [=] {
         concat({none, some}, 0);
       }},
      {"matmul", [=] { matmul(some, none); }},
      {"linear x", [=] { linear(none, some); }},
      {"linear w", [=] { linear(some, none); }},
      {"linear_each", [=] { linear_each(none, none); }},
      {"select", [=] { select(none, some, some); }},
      {"layer_norm", [=] { layer_norm(some, none, none); }},
      {"embedding", [=] { embedding(none, index_tensor({2}, 2)); }},
      {"cross_entropy", [=] { cross_entropy(none, index_tensor({2}, 2)); }},
      {"cross_entropy weights",
       [=] { cross_entropy(none, index_tensor({2}, 2), {.class_weights = some}); }},
      {"mse", [=] { mse(some, none); }},
      {"ctc_loss",
       [=] {
         ctc_loss(none, index_tensor({2, 2}, 2), {}, {});
       }},
      {"recurrent",
       [=] { recurrent(Recurrence(formula::Add{}, of::product(some)), none, {some}); }},
      {"recurrent w",
       [=] { recurrent(Recurrence(formula::Add{}, of::product(none)), some, {some}); }},
      {"recurrent state",
       [=] { recurrent(Recurrence(formula::Add{}, of::product(some)), some, {none}); }},
      {"recurrence", [=] { Recurrence().step(some, {}); }},
      {"dropout",
       [=] {
         Random random(1);
         dropout(none, 0.5, random);
       }},
      {"gradcheck",
       [=] {
         gradcheck([&] { return none; }, {NamedVar{"w", some}});
       }},
      {"gradcheck of none",
       [=] {
         gradcheck([&] { return sum(some); }, {NamedVar{"w", none}});
       }},
      {"sgd",
       [=] {
         optim::Sgd({NamedVar{"w", none}}, {.learning_rate = 0.1});
       }},
      {"backward", [=] { Tape().backward(none); }},
      {"backward dy",
       [=] {
         Tape tape;
         tape.backward(sum(some), none);
       }},
      {"gradient",
       [=] {
         Tape tape;
         tape.gradient(sum(some), {none});
       }},
      {"gradient of none", [=] { Tape().gradient(none, {some}); }},
      {"gradient dy",
       [=] {
         Tape tape;
         const Var xs[] = {some};
         tape.gradient(sum(some), none, xs);
       }},
  };
  using Unary = Var (*)(const Var&);
  for (Unary f : {Unary(exp), Unary(log), Unary(sqrt), Unary(square), Unary(abs), Unary(tanh),
                  Unary(relu), Unary(sign), Unary(mean), Unary(norm)}) {
    calls.push_back({"unary", [=] { f(none); }});
  }
  using Binary = Var (*)(const Var&, const Var&);
  for (Binary f :
       {Binary(add), Binary(pow), Binary(max), Binary(min), Binary(less), Binary(equal)}) {
    calls.push_back({"binary", [=] { f(some, none); }});
    calls.push_back({"binary", [=] { f(none, some); }});
  }
  const std::vector<std::pair<const char*, std::function<Var(const Var&)>>> others = {
      {"+", [](const Var& x) { return x + 1.0; }},
      {"-", [](const Var& x) { return 1.0 - x; }},
      {"/", [](const Var& x) { return x / 2.0; }},
      {"negative", [](const Var& x) { return -x; }},
      {"power", [](const Var& x) { return pow(x, 2.0); }},
      {"clamp", [](const Var& x) { return clamp(x, 0, 1); }},
      {"reshape", [](const Var& x) { return reshape(x, {-1}); }},
      {"transpose", [](const Var& x) { return transpose(x); }},
      {"permute", [](const Var& x) { return permute(x, {0}); }},
      {"insert_axis", [](const Var& x) { return insert_axis(x, 0); }},
      {"expand", [](const Var& x) { return expand(x, {2}); }},
      {"sum_to", [](const Var& x) { return sum_to(x, {2}); }},
      {"flip", [](const Var& x) { return flip(x, 0); }},
      {"slice", [](const Var& x) { return slice(x, 0, 0, 1); }},
      {"select_index", [](const Var& x) { return select_index(x, 0, 0); }},
      {"split", [](const Var& x) { return chunk(x, 1, 0)[0]; }},
      {"unstack", [](const Var& x) { return unstack(x)[0]; }},
      {"tril", [](const Var& x) { return tril(x); }},
      {"to", [](const Var& x) { return to(x, DType::float64); }},
      {"to device", [](const Var& x) { return to(x, Device::cpu); }},
      {"mean axes", [](const Var& x) { return mean(x, {0}); }},
      {"max axes", [](const Var& x) { return max(x, {0}); }},
      {"logsumexp", [](const Var& x) { return logsumexp(x, {0}); }},
      {"var", [](const Var& x) { return var(x, {0}); }},
      {"prod", [](const Var& x) { return prod(x, 0); }},
      {"cumsum", [](const Var& x) { return cumsum(x, 0); }},
      {"softmax", [](const Var& x) { return softmax(x); }},
      {"log_softmax", [](const Var& x) { return log_softmax(x); }},
      {"take", [](const Var& x) { return take(x, Tensor::zeros({1}, DType::int64), 0); }},
      {"gather", [](const Var& x) { return gather(x, Tensor::zeros({1}, DType::int64), 0); }},
      {"columns", [](const Var& x) { return pointwise(formula::Add{}, columns<2>(x)); }},
  };
  for (const auto& [name, f] : others) {
    calls.push_back({name, [none, g = f] { g(none); }});
  }
  return calls;
}

Stepper small_stepper() {
  const Var w = parameter(Tensor::full({2, 2}, 0.5));
  const StepperLayer layer{Recurrence(formula::Tanh{}, of::input() + of::product(w)),
                           Tensor::full({2, 3}, 0.5),
                           Tensor::zeros({2}),
                           {2}};
  return Stepper({&layer, 1}, Tensor::full({4, 2}, 1.0));
}

}  // namespace

TEST_CASE("an undefined tensor answers questions about itself, and every other call throws") {
  for (const Tensor& none : {Tensor(), moved_from()}) {
    CHECK_FALSE(none.defined());
    CHECK(none.shape() == Shape{});
    CHECK(none.rank() == 0);
    CHECK(none.raw() == nullptr);
    CHECK_FALSE(none.shares_memory_with_others());
    CHECK(none.is_contiguous());
    CHECK(none.device() == Device::cpu);
    CHECK(none.describe() == "an undefined tensor");
    CHECK(to_string(none) == "an undefined tensor");
    check_all_throw(throwing_tensor_calls(none));
  }
}

TEST_CASE("an undefined variable says so, and every other call throws") {
  Var moved(Tensor::zeros({2}));
  const Var taken(std::move(moved));
  for (const Var& none : {Var(), moved}) {  // NOLINT
    CHECK_FALSE(none.defined());
    CHECK_FALSE(none.requires_grad());
    CHECK_FALSE(none.is_parameter());
    CHECK_FALSE(none.is(taken));
    CHECK(none.is(Var()));
    CHECK_FALSE(Var(Tensor()).defined());
    check_all_throw(throwing_var_calls(none));
    Tape tape;  // the same while a tape records
    check_all_throw(throwing_var_calls(none));
  }
}

TEST_CASE("an axis that a tensor does not have is an error, also for stride()") {
  const Tensor x = Tensor::zeros({2, 3});
  CHECK(x.stride(-1) == 1);
  CHECK(x.stride(-2) == 3);
  check_all_throw({{"stride 2", [&] { x.stride(2); }}, {"stride -3", [&] { x.stride(-3); }}});
}

TEST_CASE("a stepper that was moved from refuses steps and has nothing") {
  Stepper first = small_stepper();
  Stepper second(std::move(first));
  const std::vector<float> x(3, 1.0f);
  std::vector<float> y(4), nothing;
  CHECK(second.step(x, y));
  CHECK(y[0] != 0);
  for (std::vector<float>* out : {&y, &nothing}) {
    CHECK_FALSE(first.step(x, *out));  // NOLINT
    CHECK_FALSE(first.step(nothing, *out));
  }
  CHECK(first.input_size() == 0);
  CHECK(first.output_size() == 0);
  CHECK(first.state_size() == 0);
  CHECK(first.bytes() == 0);
  first.reset();
  CHECK_THROWS_AS(first.set_state(x), Error);
  first = small_stepper();
  CHECK(first.step(x, y));
}

TEST_CASE("a tape that never recorded, and one asked for what it does not note") {
  const Tape tape;
  CHECK(tape.size() == 0);
  CHECK(tape.parameters().empty());
  CHECK(tape.to_dot().find("digraph") == 0);
  check_all_throw({{"profile", [&] { tape.profile(); }},
                   {"memory", [&] { tape.memory(); }},
                   {"state_gradients", [&] { tape.state_gradients(); }}});
}

TEST_CASE("a captured step passes undefined tensors on, in and out") {
  bool seen = false;
  CapturedStep step(Device::cpu, [&](const Tensor& x) {
    seen = !x.defined();
    return Var();
  });
  CHECK_FALSE(step(Tensor()).defined());
  CHECK(seen);
}

}  // namespace tapeloop::test
