// SPDX-License-Identifier: MIT
// CTC loss: the forward variables of all sequences, one pointwise step for each time step. The tape
// differentiates it. There is no decoding here.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "tapeloop/autograd/ops/losses.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop {

namespace {

constexpr double kImpossible = -1e30;  // stands for log(0); kImpossible - kImpossible is 0, not NaN

void check_ctc(const Var& x, const Tensor& targets, std::span<const std::int64_t> input_lengths,
               std::span<const std::int64_t> target_lengths, const CtcOptions& options) {
  if (!x.defined() || x.rank() != 3 || x.dtype() == DType::int64 || !targets.defined() ||
      targets.dtype() != DType::int64 || targets.rank() != 2 || targets.dim(0) != x.dim(1)) {
    fail("ctc_loss",
         fmt::format("log_probabilities are {}, targets {}; expected [T, N, C] of float32 or "
                     "float64 and int64 targets [N, L]",
                     x.defined() ? x.value().describe() : "undefined", targets.describe()));
  }
  const std::int64_t steps = x.dim(0), batch = x.dim(1), classes = x.dim(2);
  if (options.blank < 0 || options.blank >= classes) {
    fail("ctc_loss",
         fmt::format("blank is {}, expected one of the classes 0..{}", options.blank, classes - 1));
  }
  const auto check_lengths = [&](const char* what, std::span<const std::int64_t> lengths,
                                 std::int64_t least, std::int64_t most) {
    if (static_cast<std::int64_t>(lengths.size()) != batch) {
      fail("ctc_loss",
           fmt::format("{} {} lengths were given for a batch of {}; give one for each sequence",
                       lengths.size(), what, batch));
    }
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i] < least || lengths[i] > most) {
        fail("ctc_loss", fmt::format("{} length {} of sequence {} is outside {}..{}", what,
                                     lengths[i], i, least, most));
      }
    }
  };
  check_lengths("input", input_lengths, 1, steps);
  check_lengths("target", target_lengths, 0, targets.dim(1));
  for (std::int64_t n = 0; n < batch; ++n) {
    for (std::int64_t i = 0; i < target_lengths[static_cast<std::size_t>(n)]; ++i) {
      const auto label = static_cast<std::int64_t>(targets.at({n, i}));
      if (label < 0 || label >= classes || label == options.blank) {
        fail("ctc_loss",
             fmt::format("label {} at [{}, {}] of the targets is the blank or none of the {} "
                         "classes; padding may stand only after the target's length",
                         label, n, i, classes));
      }
    }
  }
}

// The states of each sequence: a blank, label 1, a blank, label 2, .., a blank.
struct States {
  // [N, 2 L + 1] int64. The labels past a target's length are blanks: no path leads back from them.
  Tensor labels;
  // [N, 2 L + 1]: 1 where the blank before may be skipped, which is between different labels.
  Tensor skip;
};

States states_of(const Tensor& targets, std::span<const std::int64_t> target_lengths,
                 std::int64_t blank, DType dtype) {
  const std::int64_t batch = targets.dim(0);
  const std::int64_t most = *std::max_element(target_lengths.begin(), target_lengths.end());
  const std::int64_t count = 2 * most + 1;
  PoolVector<std::int64_t> labels(static_cast<std::size_t>(batch * count), blank);
  PoolVector<double> skip(labels.size(), 0.0);
  const Tensor flat = targets.contiguous();
  for (std::int64_t n = 0; n < batch; ++n) {
    const std::int64_t* row = flat.read<std::int64_t>() + n * targets.dim(1);
    for (std::int64_t i = 0; i < target_lengths[static_cast<std::size_t>(n)]; ++i) {
      const auto at = static_cast<std::size_t>(n * count + 2 * i + 1);
      labels[at] = row[i];
      skip[at] = i == 0 || row[i] != row[i - 1] ? 1.0 : 0.0;
    }
  }
  return {Tensor::from(Shape{batch, count}, std::span<const std::int64_t>(labels)),
          Tensor::from(Shape{batch, count}, std::span<const double>(skip)).to(dtype)};
}

}  // namespace

Var ctc_loss(const Var& log_probabilities, const Tensor& given_targets,
             std::span<const std::int64_t> input_lengths,
             std::span<const std::int64_t> target_lengths, const CtcOptions& options) {
  const Var& x = log_probabilities;
  const Tensor targets = given_targets.defined() ? given_targets.cpu() : given_targets;
  check_ctc(x, targets, input_lengths, target_lengths, options);
  const std::int64_t steps = x.dim(0), batch = x.dim(1);
  const DType dtype = x.dtype();
  const auto number = [&](double value) { return Var(Tensor::full({}, value, dtype, x.device())); };
  if (batch == 0)
    return options.reduce == Reduce::none ? Var(Tensor::zeros({0}, dtype, x.device())) : number(0);

  const States states = states_of(targets, target_lengths, options.blank, dtype);
  const std::int64_t count = states.labels.dim(1);
  const Tensor index = states.labels.insert_axis(0).expand({steps, batch, count});
  const PoolVector<Var> emissions = unstack(gather(x, index, -1));
  const Tensor running = Tensor::full({steps, batch, 1}, 1.0, dtype);
  Tensor ends = Tensor::empty({batch, 2}, DType::int64);
  Tensor divisors = Tensor::empty({batch}, DType::float64);
  auto* const end = static_cast<std::int64_t*>(ends.raw());
  for (std::int64_t n = 0; n < batch; ++n) {
    const auto i = static_cast<std::size_t>(n);
    running.select(1, n).slice(0, input_lengths[i], steps).fill(0.0);
    end[2 * n] = 2 * target_lengths[i] + 1;      // the last label
    end[2 * n + 1] = 2 * target_lengths[i] + 2;  // the blank after it
    static_cast<double*>(divisors.raw())[n] =
        static_cast<double>(std::max<std::int64_t>(1, target_lengths[i]));
  }

  // Two places before the first state, so that every state has two predecessors. Before the first
  // step all probability is in the second place: it leads to the first blank and the first label.
  const Var pad(Tensor::full({batch, 2}, kImpossible, dtype, x.device()));
  const Tensor start = Tensor::full({batch, count + 2}, kImpossible, dtype, x.device());
  start.slice(1, 1, 2).fill(0.0);
  Var a(start);
  const Var skip(states.skip.to(x.device()));
  const Tensor runs = running.to(x.device());
  // After each step the largest logarithm is subtracted and added to `taken`. So the others keep
  // their precision in a sequence of any length.
  Var taken(Tensor::zeros({batch, 1}, DType::float64, x.device()));
  const int last = -1;
  for (std::int64_t t = 0; t < steps; ++t) {
    Var next = pointwise(formula::CtcStep{}, slice(a, 1, 2, count + 2), slice(a, 1, 1, count + 1),
                         slice(a, 1, 0, count), skip, emissions[static_cast<std::size_t>(t)],
                         Var(runs.select(0, t)));
    Var largest = detail::row_shift(next, {&last, 1});
    largest = select(less(number(0.5 * kImpossible), largest), largest, number(0));
    next = next - largest;
    taken = taken + to(largest, DType::float64);
    a = concat({pad, next}, 1);
  }

  Var losses = -logsumexp(gather(a, ends, 1), {-1}) - to(reshape(taken, {batch}), dtype);
  const double infinite = options.zero_infinity ? 0 : std::numeric_limits<double>::infinity();
  losses = select(less(number(-0.5 * kImpossible), losses.detach()), number(infinite), losses);
  switch (options.reduce) {
    case Reduce::mean: return mean(losses / Var(divisors.to(dtype).to(x.device())));
    case Reduce::sum: return sum(losses);
    default: return losses;
  }
}

}  // namespace tapeloop
