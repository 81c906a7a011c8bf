// SPDX-License-Identifier: MIT
// Prints random programs for tests/diff/compare.py: for each a line of JSON with the results of the
// library.
//   programs COUNT FIRST_SEED
#define DOCTEST_CONFIG_IMPLEMENT  // for the checks in support.h; nothing here is a test
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <string>

#include "tests/ops/random_programs.h"

namespace {

using namespace tapeloop;
using namespace tapeloop::test;

std::string json(const std::vector<double>& values) {
  std::string text;
  for (double v : values) {
    text += (text.empty() ? "" : ",") + (std::isfinite(v) ? fmt::format("{}", v) : "null");
  }
  return "[" + text + "]";
}
std::string json(const std::vector<Tensor>& tensors) {
  std::string text;
  for (const Tensor& t : tensors) {
    text += (text.empty() ? "" : ",") + json(t.to_vector<double>());
  }
  return "[" + text + "]";
}
std::string json(const std::vector<Array>& arrays) {
  std::string text;
  for (const Array& a : arrays) text += (text.empty() ? "" : ",") + json(a.values);
  return "[" + text + "]";
}
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    result += c == '\n' ? "\\n" : c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  }
  return result + '"';
}

// "" if two threads and recompute() give the same bits, else the one that does not.
std::string bits(const Program& program, const Results& one, const std::vector<Array>& d) {
  const std::vector<Var> inputs = variables(input_values(program));
  const Results plain = run(program, inputs, How::stored, nullptr);
  if (!same(run(program, inputs, How::parameters_recomputed, nullptr), plain)) return "recompute()";
  const Threads threads(2);
  return same(run(program, inputs, How::stored, &d), one) ? "" : "two threads";
}

void print(const Program& program, bool with_values) {
  const std::vector<Array> d = directions(program, 1);
  const Results y = run(program, variables(input_values(program)), How::stored, &d);
  const std::string differs = bits(program, y, d);
  if (!with_values) {
    fmt::print("{{\"seed\":{},\"bits\":\"{}\"}}\n", program.seed, differs);
    return;
  }
  fmt::print(
      "{{\"program\":{},\"code\":{},\"directions\":{},\"values\":{},\"gradients\":{},\"second\":{},"
      "\"bits\":\"{}\"}}\n",
      program.json(), quoted(program.code()), json(d), json(y.values), json(y.gradients),
      json(y.second), differs);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: programs COUNT FIRST_SEED\n");
    return 2;
  }
  const std::uint64_t count = std::strtoull(argv[1], nullptr, 10);
  const std::uint64_t first = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    if (seed % 100 == 0) print(random_program(seed, kLarge), false);  // too much for a line of text
    print(random_program(seed, seed % 3 == 0 ? kLonger : ProgramSize{}), true);
  }
  return 0;
}
