// SPDX-License-Identifier: MIT
// Wrong calls of every operation: the message must name the operation and the shapes and say what
// to do.
#include "tapeloop/autograd/ops/convolution.h"
#include "tapeloop/autograd/ops/pooling.h"
#include "tests/support.h"

namespace tapeloop::test {
namespace {

Var zeros(const Shape& shape, DType dtype = DType::float32) {
  return Var(Tensor::zeros(shape, dtype));
}
Tensor indices(std::initializer_list<std::int64_t> values) {
  return Tensor::from<std::int64_t>({static_cast<std::int64_t>(values.size())}, values);
}

struct WrongCall {
  std::string text;  // parts, separated by bars
  std::function<void()> call;
};

}  // namespace

TEST_CASE("a wrong call of an operation names it, shows the shapes, and says what is expected") {
  const Var a = zeros({2, 3});
  const Var b = zeros({4, 5});
  const Var d = zeros({2, 3}, DType::float64);
  const Var i = zeros({2, 3}, DType::int64);
  Random random(1);
  const std::vector<WrongCall> calls = {
      {"add: cannot broadcast [2, 3] with [4, 5]|sizes 3 and 5 at axis -1|reshape or slice",
       [&] { a + b; }},
      {"mul: inputs must be all float32 or all float64, got float32[2, 3] and float64[2, 3]|to(x, "
       "float32)",
       [&] { a* d; }},
      {"exp: works on float32 and float64, got int64[2, 3]|tensor.to(DType::float32)",
       [&] { exp(i); }},
      {"an undefined variable was used; assign it", [&] { a + Var(); }},
      {"an undefined variable was used", [&] { tanh(Var()); }},
      {"select: cannot broadcast [2, 3] with [4, 5]", [&] { select(a, a, b); }},
      {"pow: cannot broadcast", [&] { pow(a, b); }},
      {"reshape: [2, 3] has 6 elements, [4] has 4; both must have as many",
       [&] { reshape(a, {4}); }},
      {"reshape: no size fits for -1: the other sizes hold 4 elements, [2, 3] has 6",
       [&] {
         reshape(a, {4, -1});
       }},
      {"reshape",
       [&] {
         reshape(a, {-1, -1});
       }},
      {"reshape",
       [&] {
         reshape(a, {-1, 0});
       }},
      {"shape: [-2, -3] is not a shape",
       [&] {
         reshape(a, {-2, -3});
       }},
      {"at most 6",
       [&] {
         reshape(a, {1, 1, 1, 1, 1, 2, 3});
       }},
      {"axis: 2 is not an axis of [2, 3]; give -2 to 1", [&] { transpose(a, 0, 2); }},
      {"permute: [0] does not name each axis of [2, 3] once", [&] { permute(a, {0}); }},
      {"axis: cannot insert an axis at 5 into [2, 3]", [&] { insert_axis(a, 5); }},
      {"expand: [2, 3] cannot be expanded to [2, 4]",
       [&] {
         expand(a, {2, 4});
       }},
      {"sum_to: [2, 3] cannot be summed to [3, 2]",
       [&] {
         sum_to(a, {3, 2});
       }},
      {"sum_to: [4] cannot be summed to [2, 2]",
       [&] {
         sum_to(zeros({4}), {2, 2});
       }},
      {"axis: 2 is not an axis of [2, 3]", [&] { flip(a, 2); }},
      {"slice: [0:9:1] of axis 1 of [2, 3]: need 0 <= start <= stop <= 3",
       [&] { slice(a, 1, 0, 9); }},
      {"select: index 2 is outside axis 0 of [2, 3]", [&] { select_index(a, 0, 2); }},
      {"concat: no parts were given; pass at least one",
       [&] { concat(std::span<const Var>(), 0); }},
      {"concat: part 1 is float32[4, 5], part 0 is float32[2, 3]; they must be equal in all but "
       "axis 0",
       [&] {
         concat({a, b}, 0);
       }},
      {"concat: part 1 is float64[2, 3]",
       [&] {
         concat({a, d}, 0);
       }},
      {"stack: no parts were given", [&] { stack(std::span<const Var>()); }},
      {"stack: part 1 is float32[4, 5], part 0 is float32[2, 3]; they must be equal",
       [&] {
         stack({a, b});
       }},
      {"split: the sizes add up to 2, but axis 1 of [2, 3] has 3",
       [&] {
         const std::int64_t sizes[] = {1, 1};
         split(a, sizes, 1);
       }},
      {"slice",
       [&] {
         const std::int64_t sizes[] = {-1, 4};
         split(a, sizes, 1);
       }},
      {"chunk: axis 1 of [2, 3] cannot be cut into 2 equal parts; use split",
       [&] { chunk(a, 2, 1); }},
      {"chunk", [&] { chunk(a, 0, 1); }},
      {"tril: needs a matrix in the last two axes, got [3]", [&] { tril(zeros({3})); }},
      {"sum: axis 1 of [2, 3] is given twice",
       [&] {
         sum(a, {1, -1});
       }},
      {"sum: works on float32 and float64, got int64[2, 3]", [&] { sum(i); }},
      {"axis: 2 is not an axis of [2, 3]", [&] { mean(a, {2}); }},
      {"mean: x is [0, 3], which has no elements along the given axes",
       [&] {
         mean(zeros({0, 3}));
       }},
      {"max: x is [3, 0], which has no elements along the given axes",
       [&] {
         max(zeros({3, 0}), {1});
       }},
      {"min: x is|no elements along", [&] { min(zeros({0}), {0}); }},
      {"var: x is [2, 1], which has 1 elements along the given axes; expected more than the "
       "correction, 1",
       [&] {
         var(zeros({2, 1}), {1});
       }},
      {"argmax: needs a last axis with elements, got float32[2, 0]",
       [&] {
         argmax(zeros({2, 0}).value());
       }},
      {"softmax: axis 1 of float32[2, 0] has no elements",
       [&] {
         softmax(zeros({2, 0}));
       }},
      {"log_softmax: axis 0 of float32",
       [&] {
         log_softmax(zeros({0, 2}), 0);
       }},
      {"axis: -1 is not an axis of []", [&] { softmax(zeros({})); }},
      {"prod: works on float32 and float64", [&] { prod(i, 0); }},
      {"cumsum: works on float32 and float64", [&] { cumsum(i, 0); }},
      {"matmul: inner dimensions must match: a is [2, 3], b is [4, 5] (3 vs 4)",
       [&] { matmul(a, b); }},
      {"matmul: operands must be of one floating-point type|float32[2, 3] and float64[2, 3]; "
       "convert one by to(x, dtype)",
       [&] { matmul(a, d); }},
      {"matmul: inner dimensions must match: a is [], b is [4, 5]; multiply by a number with *",
       [&] { matmul(zeros({}), b); }},
      {"matmul: cannot broadcast [2] with [3]",
       [&] {
         matmul(zeros({2, 1, 1}), zeros({3, 1, 1}));
       }},
      {"matmul: inner dimensions must match: a is [3], b is [2] (3 vs 2)",
       [&] { matmul(zeros({3}), zeros({2})); }},
      {"linear: x is [2, 3], w is [4, 5]: w must be [out, in] and the last axis of x must be in = "
       "5",
       [&] { linear(a, b); }},
      {"linear: x is [2, 3], w is [3]", [&] { linear(a, zeros({3})); }},
      {"linear_groups: x is [2, 3], w is [3, 1], groups 2: expected x [.., I] and w [B * I, I / "
       "groups]",
       [&] {
         linear_groups(a, zeros({3, 1}), 2);
       }},
      {"linear_groups: x is [2, 3], w is [4, 1], groups 3",
       [&] {
         linear_groups(a, zeros({4, 1}), 3);
       }},
      {"linear_each: x is [2, 3], w is [2, 4, 5]: expected x [N, I] or [T, N, I] and w [N, O, I]",
       [&] {
         linear_each(a, zeros({2, 4, 5}));
       }},
      {"linear_each: x is [2, 3], w is [3, 4, 3]",
       [&] {
         linear_each(a, zeros({3, 4, 3}));
       }},
      {"conv2d: x is [1, 2, 4, 4], weight [3, 1, 3, 3], bias undefined, groups 1; expected x [N, "
       "C, "
       "..], weight [O, C / groups, ..]",
       [&] {
         conv2d(zeros({1, 2, 4, 4}), zeros({3, 1, 3, 3}), Var());
       }},
      {"conv2d: x is [1, 2, 4, 4], weight [3, 1, 3, 3], bias [3], groups 2",
       [&] {
         conv2d(zeros({1, 2, 4, 4}), zeros({3, 1, 3, 3}), zeros({3}), {.groups = 2});
       }},
      {"conv2d: the kernel extends over 5 elements, and the image has 4 with a padding of 0",
       [&] {
         conv2d(zeros({1, 1, 4, 4}), zeros({1, 1, 3, 3}), Var(), {.dilation = {2, 2}});
       }},
      {"conv2d: stride is 0, expected 1 or more",
       [&] {
         conv2d(zeros({1, 1, 4, 4}), zeros({1, 1, 3, 3}), Var(), {.stride = {1, 0}});
       }},
      {"conv2d: a padding of 4 reflects an image of 4 elements",
       [&] {
         conv2d(zeros({1, 1, 4, 4}), zeros({1, 1, 3, 3}), Var(),
                {.padding = {4, 0}, .mode = Padding::reflect});
       }},
      {"conv1d: x is [2, 3], expected three axes",
       [&] {
         conv1d(a, zeros({1, 1, 3}), Var());
       }},
      {"max_pool2d: padding is 2, expected at most half of the kernel, which is 3",
       [&] {
         max_pool2d(zeros({1, 1, 4, 4}), {.kernel = {3, 3}, .padding = {2, 0}});
       }},
      {"adaptive_max_pool2d: an axis of 4 elements was to be divided into 0 windows",
       [] {
         adaptive_max_pool2d(zeros({1, 1, 4, 4}), {0, 1});
       }},
      {"adaptive_avg_pool1d: x is [2, 3], expected three axes",
       [] {
         adaptive_avg_pool1d(zeros({2, 3}), 1);
       }},
      {"flatten: the first axis is 2, and x is [2, 3]",
       [] {
         flatten(zeros({2, 3}), 2);
       }},
      {"avg_pool2d: the kernel extends over 5 elements, and the image has 4",
       [&] {
         avg_pool2d(zeros({1, 1, 4, 4}), {.kernel = {5, 1}});
       }},
      {"pad: before is -1 and after 0, expected 0 or more; slice() cuts off",
       [&] {
         pad(a, {{1, -1, 0}});
       }},
      {"linear_scan: a is float32[3], b is float32[2, 3], h0 is undefined: expected b [T, N, H]",
       [&] { linear_scan(zeros({3}), a); }},
      {"linear_scan: a is float32[4], b is float32[2, 2, 3]|an a that broadcasts to b",
       [&] {
         linear_scan(zeros({4}), zeros({2, 2, 3}));
       }},
      {"linear_scan: |h0 is float32[3, 3]: expected h0 [N, H]",
       [&] {
         linear_scan(zeros({3}), zeros({2, 2, 3}), zeros({3, 3}));
       }},
      {"linear_scan: |b is int64|one floating-point type on one device",
       [&] {
         linear_scan(zeros({3}), Var(Tensor::zeros({2, 2, 3}, DType::int64)));
       }},
      {"linear_scan: |complex numbers: H/2 columns of real parts",
       [&] {
         linear_scan(zeros({3}), zeros({2, 2, 3}), Var(), {.kind = ScanKind::complex});
       }},
      {"linear_scan: 1 lengths were given for a batch of 2; give one for each sequence",
       [&] {
         const std::int64_t lengths[] = {1};
         linear_scan(zeros({3}), zeros({2, 2, 3}), Var(), {.lengths = lengths});
       }},
      {"linear_scan: length 4 of sequence 1 is outside 0..2, the number of time steps; b is [2, 2, "
       "3]",
       [&] {
         const std::int64_t lengths[] = {1, 4};
         linear_scan(zeros({3}), zeros({2, 2, 3}), Var(), {.lengths = lengths});
       }},
      {"linear: cannot broadcast [3] with [2, 4]",
       [&] {
         linear(a, zeros({4, 3}), zeros({3}));
       }},
      {"linear: the bias is [5, 2, 4], which does not broadcast to the result [2, 4]",
       [&] {
         linear(a, zeros({4, 3}), zeros({5, 2, 4}));
       }},
      {"embedding: the table must be [V, E], got [3]",
       [&] { embedding(zeros({3}), indices({0})); }},
      {"embedding: index 4 at position 1 of [2] is outside 0..3, the range of axis 0; the table is "
       "[4, 5]",
       [&] {
         embedding(b, indices({0, 4}));
       }},
      {"embedding: index -1 at position 0", [&] { embedding(b, indices({-1})); }},
      {"embedding: the index must be an int64 tensor, got float32[2, 3]",
       [&] { embedding(b, a.value()); }},
      {"embedding: the index must be an int64 tensor, got an undefined tensor",
       [&] { embedding(b, Tensor()); }},
      {"take: the index must have one axis, got [1, 2]",
       [&] {
         take(a, indices({0, 1}).insert_axis(0), 0);
       }},
      {"take: index 2 at position 0 of [1] is outside 0..1", [&] { take(a, indices({2}), 0); }},
      {"add_rows: x is [2, 3], the index int64[1], for 4 rows; expected an index for each row of x",
       [&] { add_rows(a, indices({1}), 4); }},
      {"add_rows: index 4 at position 1 of [2] is outside 0..3",
       [&] {
         add_rows(a, indices({0, 4}), 4);
       }},
      {"gather: the index is [2], x is [2, 3]: their sizes must be equal in all axes but axis 1",
       [&] {
         gather(a, indices({0, 1}), 1);
       }},
      {"gather: index 3 at position 0",
       [&] {
         gather(a, indices({3, 0}).insert_axis(1), 1);
       }},
      {"dropout: p is 1, expected 0 <= p < 1", [&] { dropout(a, 1.0, random); }},
      {"dropout: p is nan", [&] { dropout(a, std::nan(""), random); }},
      {"layer_norm: x is [2, 3], weight [2], bias [2]: weight and bias must be [features]",
       [&] { layer_norm(a, zeros({2}), zeros({2})); }},
      {"cross_entropy: logits are float32[2, 3], target int64[3]; expected logits [..., V] and an "
       "int64 target",
       [&] {
         cross_entropy(a, indices({0, 1, 2}));
       }},
      {"cross_entropy: logits are int64[2, 3]|the logits float32 or float64",
       [&] {
         cross_entropy(zeros({2, 3}, DType::int64), indices({0, 1}));
       }},
      {"cross_entropy: label_smoothing is nan",
       [&] {
         cross_entropy(a, indices({0, 1}), {.label_smoothing = std::nan("")});
       }},
      {"dropout: works on float32 and float64, got int64",
       [&] { dropout(zeros({2}, DType::int64), 0.5, random); }},
      {"random_uniform: works on float32 and float64, got int64",
       [&] { random_uniform({2}, 0, 1, random, DType::int64); }},
      {"random_normal: works on float32 and float64, got int64",
       [&] { random_normal({2}, 0, 1, random, DType::int64); }},
      {"reshape: the sizes are [-1, 3, -1]; expected sizes of 0 or more, at most one of them -1",
       [&] {
         reshape(a, {-1, 3, -1});
       }},
      {"reshape: the sizes are [-1, 4611686018427387904, 4]|a product that fits in 63 bits",
       [&] {
         reshape(a, {-1, std::int64_t{1} << 62, 4});
       }},
      {"cross_entropy: target 3 at position 1 of [2] is outside the 3 classes; ignore_index is "
       "-100",
       [&] {
         cross_entropy(a, indices({0, 3}));
       }},
      {"cross_entropy: target -1 at position 0",
       [&] {
         cross_entropy(a, indices({-1, 0}));
       }},
      {"cross_entropy|target an undefined tensor", [&] { cross_entropy(a, Tensor()); }},
      {"cross_entropy: label_smoothing is 2, expected 0 to 1",
       [&] {
         cross_entropy(a, indices({0, 1}), {.label_smoothing = 2});
       }},
      {"cross_entropy: class_weights are [2], expected one weight for each of the 3 classes",
       [&] {
         cross_entropy(a, indices({0, 1}), {.class_weights = zeros({2})});
       }},
      {"mse: the prediction is [2, 3], the target [3]; shapes must be equal",
       [&] { mse(a, zeros({3})); }},
      {"l1_loss: the prediction", [&] { l1_loss(a, b); }},
      {"huber: the prediction", [&] { huber(a, b); }},
      {"huber: delta is 0, expected more than 0", [&] { huber(a, a, 0); }},
      {"bce_with_logits: the prediction", [&] { bce_with_logits(a, b); }},
      {"kl_divergence: the prediction", [&] { kl_divergence(a, b); }},
  };
  for (const WrongCall& wrong : calls) {
    CAPTURE(wrong.text);
    CHECK(throws_with(wrong.text, wrong.call));
    Tape tape;  // the same during recording
    CHECK(throws_with(wrong.text, wrong.call));
    CHECK(tape.size() == 0);
  }
}

}  // namespace tapeloop::test
