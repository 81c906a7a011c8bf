// SPDX-License-Identifier: MIT
// tree_picture(): where the nodes stand, in which colours, and what is refused.
#include "tapeloop/nn/look/tree_picture.h"

#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::contains;
using test::message_of;

std::int64_t count(const std::string& text, const std::string& part) {
  std::int64_t result = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++result;
  return result;
}

// A root 3 with children 0 and 2; node 1 below node 2. A second tree: node 4.
const std::vector<std::int64_t> kParents = {3, 2, 3, -1, -1};
const Tensor kStates = Tensor::from<double>({5, 2}, {0, 1, 0, 0, 0, 0, 0.5, 0, 0, -2});

TEST_CASE("a drawing for each neuron, the one that varies most first; a line for each child") {
  const std::string svg = tree_picture(kParents, kStates, {.title = "a & b"});
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(contains(svg, "a &amp; b"));
  CHECK(count(svg, "<line ") == 2 * 3);
  CHECK(count(svg, "rx=\"6\"") == 2 * 5);
  CHECK(count(tree_picture(kParents, kStates, {.neurons = 1}), "rx=\"6\"") == 5);
  // Neuron 1, first: -2 is full blue, 1 is half of the orange. Neuron 0 has a quarter of it.
  CHECK(count(svg, "fill=\"#0072b2\" stroke=\"#57606a\"") == 1);
  CHECK(count(svg, "fill=\"#eaaf80\" stroke=\"#57606a\"") == 1);
  CHECK(count(svg, "fill=\"#f5d7bf\" stroke=\"#57606a\"") == 1);
}

TEST_CASE("leaves stand side by side, a parent above the middle of its children") {
  const std::string svg = tree_picture(kParents, kStates, {.neurons = 1});
  // Columns of 44 from 24: leaves 0, 1 and 4 have the columns 0, 1, 2. Node 3 is between 0 and 2.
  for (const char* line : {"x1=\"46\" y1=\"182\" x2=\"68\" y2=\"130\"",     // 0 below 3
                           "x1=\"90\" y1=\"234\" x2=\"90\" y2=\"182\"",     // 1 below 2
                           "x1=\"90\" y1=\"182\" x2=\"68\" y2=\"130\""}) {  // 2 below 3
    CHECK_MESSAGE(contains(svg, line), line, " in ", svg);
  }
  CHECK(contains(svg, "<rect x=\"116\" y=\"118\""));  // node 4
}

TEST_CASE("labels, marks, and a chain that is too deep for a stack of calls") {
  const std::string svg = tree_picture(kParents, kStates,
                                       {.note = "p < 1",
                                        .neurons = 1,
                                        .labels = {"a", "b", "<c>", "d", "e"},
                                        .marked = {false, true, false, false, false}});
  CHECK(contains(svg, ">&lt;c&gt;</text>"));
  CHECK(contains(svg, "p &lt; 1"));
  CHECK(count(svg, "#cf222e") == 1);
  std::vector<std::int64_t> chain;
  for (std::int64_t i = 0; i < 10000; ++i) chain.push_back(i - 1);
  CHECK(count(tree_picture(chain, Tensor::zeros({10000, 1})), "rx=\"6\"") == 10000);
}

TEST_CASE("what does not fit is refused") {
  const auto message = [](const std::vector<std::int64_t>& parents, const Tensor& states,
                          const TreePictureOptions& options = {}) {
    return message_of([&] { tree_picture(parents, states, options); });
  };
  CHECK(contains(message(kParents, Tensor::zeros({4, 2})), "[5, units]"));
  CHECK(contains(message({}, Tensor()), "undefined"));
  CHECK(contains(message(kParents, kStates, {.neurons = 0}), "at least 1 neuron"));
  CHECK(contains(message(kParents, kStates, {.labels = {"a"}}), "1 labels"));
  CHECK(contains(message(kParents, kStates, {.marked = {true}}), "1 marks"));
  CHECK(contains(message({1, 0}, Tensor::zeros({2, 1})), "ancestor"));
  CHECK(contains(message({7}, Tensor::zeros({1, 1})), "7"));
  CHECK(contains(message(std::vector<std::int64_t>(5001, -1), Tensor::zeros({5001, 2})),
                 "more than 10000 nodes"));
}

}  // namespace
}  // namespace tapeloop::nn
