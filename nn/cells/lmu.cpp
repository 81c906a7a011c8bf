// SPDX-License-Identifier: MIT
// Construction of the Legendre memory unit: A and B of its memory.
#include "tapeloop/nn/cells/lmu.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

namespace {

using Matrix = std::vector<double>;  // [size, size]

Matrix product(const Matrix& a, const Matrix& b, std::size_t size) {
  Matrix c(size * size);
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t k = 0; k < size; ++k) {
      for (std::size_t j = 0; j < size; ++j) c[i * size + j] += a[i * size + k] * b[k * size + j];
    }
  }
  return c;
}

// e^a: the Taylor series of a / 2^n, squared n times.
Matrix exponential(Matrix a, std::size_t size) {
  double most = 0;
  for (const double x : a) most = std::max(most, std::abs(x));
  int halvings = 4;
  while (std::ldexp(most * static_cast<double>(size), -halvings) > 0.25) ++halvings;
  for (double& x : a) x = std::ldexp(x, -halvings);
  Matrix sum(size * size), term(size * size);
  for (std::size_t i = 0; i < size; ++i) sum[i * size + i] = term[i * size + i] = 1;
  for (int n = 1; n <= 16; ++n) {
    term = product(term, a, size);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += term[i] /= n;
  }
  for (int n = 0; n < halvings; ++n) sum = product(sum, sum, size);
  return sum;
}

}  // namespace

LmuCell::LmuCell(const RecurrentOptions& o, Random& random, const Options& own) {
  detail::check_sizes("lmu", o);
  if (own.order < 1 || own.order > 4096 || !(own.theta >= 1e-3 && own.theta <= 1e9)) {
    fail("lmu", fmt::format("order is {}, theta {}; expected an order of 1 to 4096, and a window "
                            "theta of 0.001 to 10^9 steps",
                            own.order, own.theta));
  }
  weight_ih = detail::drawn({o.hidden, o.input}, o, random);
  weight_hh = detail::drawn({o.hidden, o.hidden}, o, random);
  weight_mh = detail::drawn({o.hidden, own.order}, o, random);
  e_x = detail::drawn({o.input}, o, random);
  e_h = detail::drawn({o.hidden}, o, random);
  e_m = detail::drawn({own.order}, o, random);
  // One matrix holds A and B, with a row of zeros: its exponential holds both of a step.
  const auto order = static_cast<std::size_t>(own.order), size = order + 1;
  Matrix both(size * size);
  for (std::size_t i = 0; i < order; ++i) {
    const double scale = (2.0 * static_cast<double>(i) + 1) / own.theta;
    for (std::size_t j = 0; j < order; ++j) {
      both[i * size + j] = scale * (i < j || (i - j) % 2 == 0 ? -1 : 1);
    }
    both[i * size + order] = scale * (i % 2 == 0 ? 1 : -1);
  }
  if (own.discretisation == Discretisation::zero_order_hold) {
    both = exponential(both, size);
  } else {
    for (std::size_t i = 0; i < size; ++i) both[i * size + i] += 1;
  }
  const Tensor all = Tensor::from({own.order + 1, own.order + 1}, both).slice(0, 0, own.order);
  const auto columns = [&](std::int64_t first, std::int64_t end) {
    return detail::FixedNumbers(all.slice(1, first, end).to(o.dtype).contiguous());
  };
  a = columns(0, own.order);
  b = columns(own.order, own.order + 1);
}

}  // namespace tapeloop::nn
