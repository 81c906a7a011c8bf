// SPDX-License-Identifier: MIT
// Superpixels: neighbours, means, orders, against pixels counted one by one; errors.
#include "tapeloop/nn/structures/superpixels.h"

#include <algorithm>
#include <set>

#include "tapeloop/autograd/look/gradcheck.h"
#include "tapeloop/autograd/ops/ops.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

using test::message_of;
using test::random_tensor;

// Two images of 3 x 4 pixels. Regions of the first: 0 1 2; of the second: 0 1.
const std::vector<std::int64_t> kSegments = {0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 2, 1,
                                             0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0};
Superpixels two_images() { return {kSegments, 2, 3, 4}; }

std::vector<std::int64_t> list(std::span<const std::int64_t> x) { return {x.begin(), x.end()}; }

TEST_CASE("regions of several images are nodes one after the other") {
  const Superpixels regions = two_images();
  CHECK(regions.nodes() == 5);
  CHECK(list(regions.sizes()) == std::vector<std::int64_t>{4, 5, 3, 8, 4});
  CHECK(list(regions.first_nodes()) == std::vector<std::int64_t>{0, 3, 5});
  const auto [begins, neighbours] = regions.neighbours();
  CHECK(list(begins) == std::vector<std::int64_t>{0, 2, 4, 6, 7, 8});
  CHECK(list(neighbours) == std::vector<std::int64_t>{1, 2, 0, 2, 0, 1, 4, 3});
}

TEST_CASE("mean and spread are those of a loop over pixels") {
  const Superpixels regions = two_images();
  const Tensor pixels = random_tensor({2, 3, 4, 3}, 5);
  const std::vector<double> x = pixels.to_vector<double>();
  std::vector<double> expected(15);
  std::vector<int> counts(5);
  const auto node_of = [&](std::size_t p) {
    return static_cast<std::size_t>(kSegments[p] + (p >= 12 ? 3 : 0));
  };
  for (std::size_t p = 0; p < 24; ++p) {
    ++counts[node_of(p)];
    for (std::size_t c = 0; c < 3; ++c) expected[node_of(p) * 3 + c] += x[p * 3 + c];
  }
  const Var mean = regions.mean(Var(pixels));
  REQUIRE(mean.shape() == Shape{5, 3});
  const std::vector<double> found = mean.value().to_vector<double>();
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i] == doctest::Approx(expected[i] / counts[i / 3]).epsilon(1e-14));
  }
  const Var spread = regions.spread(mean);
  REQUIRE(spread.shape() == Shape{2, 3, 4, 3});
  const std::vector<double> of_pixels = spread.value().to_vector<double>();
  for (std::size_t i = 0; i < of_pixels.size(); ++i) {
    CHECK(of_pixels[i] == found[node_of(i / 3) * 3 + i % 3]);
  }
  CHECK(regions.mean(Var(reshape(Var(pixels), {24, 3}).value())).value().to_vector<double>() ==
        found);
}

TEST_CASE("gradients of mean and spread, first and second order") {
  const Superpixels regions = two_images();
  const auto report = gradcheck(
      [&](std::span<const Var> v) {
        const Var y = regions.spread(regions.mean(v[0]));
        return y * y * y;
      },
      {random_tensor({24, 2}, 7)}, {.second_order = true});
  CHECK_MESSAGE(report.ok, report.str());
}

TEST_CASE(
    "confidence: the best foreground first; then the one further left, then the lower number") {
  const Superpixels regions = two_images();
  // Background first. Nodes 0 and 2 of the first image are equal; node 0's centre is further left.
  const Tensor p =
      Tensor::from<double>({5, 3}, {0.9, 0.05, 0.05, 0.2, 0.1, 0.7, 0.9, 0.02, 0.05,  //
                                    0.6, 0.2, 0.2, 0.6, 0.1, 0.3});
  CHECK(regions.by_confidence(p) == std::vector<std::int64_t>{1, 0, 2, 4, 3});
  // Centres of both regions of the second image are column 1.5: the lower number.
  const Tensor equal = Tensor::from<float>({5, 2}, {0, 1, 0, 1, 0, 1, 0, 1, 0, 1});
  CHECK(regions.by_confidence(equal) == std::vector<std::int64_t>{0, 2, 1, 3, 4});
}

TEST_CASE("breadth first reaches each region once, neighbours before the others") {
  CHECK(two_images().breadth_first() == std::vector<std::int64_t>{0, 1, 2, 3, 4});
  // A row of regions 0 2 1 3: from 0 to 2, then 1, then 3.
  CHECK(Superpixels(std::vector<std::int64_t>{0, 2, 1, 3}, 1, 1, 4).breadth_first() ==
        std::vector<std::int64_t>{0, 2, 1, 3});
}

TEST_CASE("one pixel, one region, no neighbours") {
  const Superpixels one(std::vector<std::int64_t>{0}, 1, 1, 1);
  CHECK(one.nodes() == 1);
  CHECK(one.neighbours().neighbours.empty());
  CHECK(one.breadth_first() == std::vector<std::int64_t>{0});
  CHECK(one.mean(Var(Tensor::from<double>({1, 2}, {3, 4}))).value().to_vector<double>() ==
        std::vector<double>{3, 4});
}

TEST_CASE("what does not fit is refused with its place") {
  const auto made = [](std::vector<std::int64_t> segments, std::int64_t n, std::int64_t h,
                       std::int64_t w) {
    return message_of([&] { Superpixels(segments, n, h, w); });
  };
  CHECK(made({0, 1}, 1, 1, 3).find("2 numbers of regions for 1 images of 1 x 3") !=
        std::string::npos);
  CHECK(made({}, 0, 1, 3).find("at least one image") != std::string::npos);
  CHECK(made({0, -2, 0, 1}, 2, 1, 2).find("image 0 has a region -2") != std::string::npos);
  CHECK(made({0, 1, 2, 0}, 2, 1, 2).find("image 1 has a region 2") != std::string::npos);
  CHECK(made({0, 0, 1, 1}, 2, 1, 2).find("region 0 of image 1 has no pixel") != std::string::npos);
  const Superpixels regions = two_images();
  const auto zeros = [](const Shape& shape) { return Var(Tensor::zeros(shape)); };
  CHECK(message_of([&] { regions.mean(zeros({23, 2})); }).find("[24, C]") != std::string::npos);
  CHECK(message_of([&] {
          regions.mean(zeros({2, 4, 3, 1}));
        }).find("[2, 3, 4, C]") != std::string::npos);
  CHECK(message_of([&] { regions.mean(Var()); }).find("undefined") != std::string::npos);
  CHECK(message_of([&] { regions.spread(zeros({4, 2})); }).find("[5, C]") != std::string::npos);
  CHECK(message_of([&] {
          (void)regions.by_confidence(Tensor::zeros({5, 1}));
        }).find("at least 2 labels") != std::string::npos);
  Tensor nan = Tensor::full({5, 2}, 0.5);
  nan.data<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK(message_of([&] { (void)regions.by_confidence(nan); }).find("row 3") != std::string::npos);
}

}  // namespace
}  // namespace tapeloop::nn
