// SPDX-License-Identifier: MIT
// The sources of a formula's arguments.
#include <fmt/format.h>

#include "tapeloop/autograd/sequence/recurrence.h"
#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::of {

Source Source::columns(std::int64_t from, std::int64_t count) const {
  Source result = *this;
  result.first += from;
  result.size = count;
  return result;
}
Source input() { return {}; }
Source input(std::int64_t first, std::int64_t size) { return input().columns(first, size); }
Source state(int k, int predecessor) {
  Source result;
  result.kind = Source::Kind::state;
  result.index = k;
  result.predecessor = predecessor;
  return result;
}
Source edge_state(int k, int table) {
  Source result = state(k, table);
  result.kind = Source::Kind::edge_state;
  return result;
}
static Source edge_sum(Source x, bool mean) {
  Source result;
  result.kind = Source::Kind::edge_sum;
  result.mean = mean;
  result.parts.push_back(std::move(x));
  return result;
}
Source sum_of_edges(Source x) { return edge_sum(std::move(x), false); }
Source mean_of_edges(Source x) { return edge_sum(std::move(x), true); }
Source product(const Var& w) { return product(w, state(0)); }
Source product(const Var& w, Source x) { return product(w, std::move(x), Var()); }
Source product(const Var& w, Source x, const Var& bias) {
  return product(w, std::move(x), bias, 1);
}
Source product(const Var& w, Source x, const Var& bias, int groups) {
  if (groups < 1) {
    fail("recurrence",
         fmt::format("of::product() was given {} groups, expected 1 or more", groups));
  }
  Source result;
  result.kind = Source::Kind::product;
  result.var = w;
  result.bias = bias;
  result.groups = groups;
  result.parts.push_back(std::move(x));
  return result;
}
Source unit(const Var& parameter) {
  Source result;
  result.kind = Source::Kind::unit;
  result.var = parameter;
  return result;
}
Source extra(const Tensor& values) {
  if (!values.defined() || values.rank() < 2) {
    fail("recurrence", fmt::format("of::extra() was given {}, expected [T, N, H]",
                                   values.defined() ? values.describe() : "an undefined tensor"));
  }
  Source result;
  result.kind = Source::Kind::extra;
  result.var = Var(values);
  return result;
}
Source layer_norm(Source x, const Var& scale, const Var& bias, int groups, double epsilon) {
  if (groups < 1) {
    fail("recurrence",
         fmt::format("of::layer_norm() was given {} groups, expected 1 or more", groups));
  }
  Source result;
  result.kind = Source::Kind::layer_norm;
  result.scale = scale;
  result.bias = bias;
  result.groups = groups;
  result.epsilon = epsilon;
  result.parts.push_back(std::move(x));
  return result;
}
Source operator+(Source a, Source b) {
  Source result;
  result.kind = Source::Kind::sum;
  result.parts.reserve(2);
  for (Source* term : {&a, &b}) {
    if (term->kind == Source::Kind::sum) {
      result.parts.insert(result.parts.end(), term->parts.begin(), term->parts.end());
    } else {
      result.parts.push_back(std::move(*term));
    }
  }
  return result;
}

const Source& Results::operator[](std::size_t i) const {
  if (i >= size()) {
    fail("recurrence", fmt::format("the formula has {} results, there is no result {}; count them "
                                   "from 0",
                                   size(), i));
  }
  return data()[i];
}

}  // namespace tapeloop::of
