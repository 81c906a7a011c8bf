// SPDX-License-Identifier: MIT
// grid_picture(): which neurons it shows, where, and in which colours.
#include "tapeloop/nn/look/grid_picture.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

std::int64_t count(const std::string& text, const std::string& part) {
  std::int64_t result = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++result;
  return result;
}

// [2, 3, 2, 3]: of sample 1, neuron 0 is 0, neuron 1 is -2 in one corner, neuron 2 is 1 or 0.
Tensor states() {
  Tensor result = Tensor::zeros({2, 3, 2, 3}, DType::float64);
  result.select(2, 0).fill(9);
  result.select(0, 1).select(0, 2).select(0, 1).select(0, 1).fill(-2);
  result.select(0, 0).select(0, 1).select(0, 1).select(0, 2).fill(1);
  return result;
}

TEST_CASE("a picture of a grid has an image for each neuron, the one that varies most first") {
  const std::string svg = grid_picture(states(), {.title = "a & b", .sample = 1});
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count(svg, "<rect ") == 1 + 5 + 3 * (6 + 1));  // page, legend, images with frames
  CHECK(test::contains(svg, "a &amp; b"));
  const std::size_t one = svg.find(">1</text>"), two = svg.find(">2</text>"),
                    zero = svg.find(">0</text>");
  CHECK((one < two && two < zero && zero != svg.npos));
  // Cells are 37 wide. The corner of neuron 1 is in full blue, and neuron 2 has half of the orange.
  CHECK(count(svg, "<rect x=\"90\" y=\"121\" width=\"37\" height=\"37\" fill=\"#0072b2\"/>") == 1);
  CHECK(count(svg, "fill=\"#eaaf80\"/>") == 1);
  CHECK(count(grid_picture(states(), {.neurons = 2, .sample = 1}), "<rect ") == 1 + 5 + 2 * 7);
}

TEST_CASE("values that are no numbers are white, and a grid of equal values has a picture") {
  Tensor x = states();
  x.fill(NAN);
  CHECK(count(grid_picture(x), "fill=\"#ffffff\"") == 1 + 3 * 6);  // one of the legend
  x.fill(0);
  CHECK(count(grid_picture(x), "fill=\"#ffffff\"") == 1 + 3 * 6);
}

TEST_CASE("neurons are ranked by the spread of their finite values") {
  const double big = 1e200, nan = NAN;
  const auto order = [](const std::vector<double>& values) {
    const std::string svg = grid_picture(Tensor::from<double>({2, 2, 1, 3}, values));
    std::vector<std::pair<std::size_t, int>> places;
    for (int i = 0; i < 3; ++i)
      places.emplace_back(svg.find("\">" + std::to_string(i) + "</text>"), i);
    std::sort(places.begin(), places.end());
    return std::vector<int>{places[0].second, places[1].second, places[2].second};
  };
  // Standard deviations 0 (no number), 2, and 2.5 by two of the four cells.
  CHECK(order({nan, 2, 2.5, nan, -2, -2.5, nan, 2, nan, nan, -2, nan}) ==
        std::vector<int>{2, 1, 0});
  // Equal values do not vary, however large they are.
  CHECK(order({big, 1, 0, big, -1, 0, big, 1, 0, big, -1, 2}) == std::vector<int>{1, 2, 0});
  // Squares of these values are not finite.
  CHECK(order({1, big, 3 * big, -1, -big, 0, 1, big, 3 * big, -1, -big, 0}) ==
        std::vector<int>{2, 1, 0});
}

TEST_CASE("a picture of a grid that is not possible throws") {
  const auto draw = [](const Tensor& x, const GridPictureOptions& options = {}) {
    return test::message_of<Error>([&] { grid_picture(x, options); });
  };
  CHECK(draw(Tensor::zeros({2, 3})) ==
        "grid_picture: the states are [2, 3], expected [rows, columns, N, units]");
  CHECK(draw(Tensor()) ==
        "grid_picture: the states are undefined, expected [rows, columns, N, units]");
  CHECK(draw(states(), {.sample = 2}) ==
        "grid_picture: sample is 2, neurons 12; the batch has 2, and at least 1 neuron is shown");
  CHECK(draw(states(), {.neurons = 0}) ==
        "grid_picture: sample is 0, neurons 0; the batch has 2, and at least 1 neuron is shown");
  CHECK(
      draw(Tensor::zeros({100, 60, 1, 2})) ==
      "grid_picture: 2 neurons of 100 x 60 cells are more than 10000 cells; show fewer neurons or "
      "a part of the grid");
}

}  // namespace
}  // namespace tapeloop::nn
