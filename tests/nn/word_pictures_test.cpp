// SPDX-License-Identifier: MIT
// word_picture() and confusion_picture(): what stands where, colours, wrong use.
#include "tapeloop/nn/look/confusion_picture.h"
#include "tapeloop/nn/look/word_picture.h"
#include "tests/support.h"

namespace tapeloop::nn {
namespace {

std::int64_t count(const std::string& text, const std::string& part) {
  std::int64_t result = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++result;
  return result;
}

TEST_CASE("words stand on the colours of their values") {
  const std::vector<WordRow> rows{{"yes", "", {"a", "<b>", "né"}, {2, -1, NAN}},
                                  {"no", "not yes", {"你好"}, {0}}};
  const std::string svg = word_picture(rows, {.title = "a & b", .legend = "what"});
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count(svg, "<rect ") == 1 + 4);
  test::check_contains(svg, "a &amp; b");
  test::check_contains(svg, ">what</text>");
  test::check_contains(svg, ">&lt;b&gt;</text>");
  test::check_contains(svg, "fill=\"#cf222e\">not yes</text>");
  // a letter is 7.8 wide: full orange, half of the blue, white twice
  CHECK(count(svg, "width=\"13.8\" height=\"19\" rx=\"3\" fill=\"#d55e00\"") == 1);
  CHECK(count(svg, "width=\"29.4\" height=\"19\" rx=\"3\" fill=\"#80b9d9\"") == 1);
  CHECK(count(svg, "width=\"21.6\" height=\"19\" rx=\"3\" fill=\"#ffffff\"") == 1);
  CHECK(count(svg, "width=\"37.2\" height=\"19\" rx=\"3\" fill=\"#ffffff\"") == 1);
}

TEST_CASE("a long text goes on in further lines") {
  const WordRow row{"", "", std::vector<std::string>(100, "word"), std::vector<double>(100, 1)};
  const std::string svg = word_picture({&row, 1});
  CHECK(count(svg, "y=\"62.0\"") > 10);  // the first line, and the next ones 22 below
  CHECK(count(svg, "y=\"84.0\"") > 10);
  CHECK(count(svg, "<rect ") == 1 + 100);
  CHECK(word_picture({}).ends_with("</svg>\n"));
}

TEST_CASE("cells of a confusion matrix show percent of their row") {
  const std::vector<std::string> names{"rare", "<common>"};
  const Tensor counts = Tensor::from<std::int64_t>({2, 2}, {1, 3, 1, 199});
  const std::string svg = confusion_picture(counts, names, {.title = "a & b"});
  test::check_contains(svg, "a &amp; b");
  CHECK(count(svg, "<rect ") == 1 + 4);
  CHECK(count(svg, ">&lt;common&gt;</text>") == 2);
  for (const char* share : {">25</text>", ">75</text>", ">0.5</text>", ">100</text>"}) {
    CHECK_MESSAGE(count(svg, share) == 1, share);
  }
  CHECK(svg.find("common") < svg.find("rare"));  // the commonest first
  const std::string one = confusion_picture(counts.to(DType::float32), names, {.most = 1});
  CHECK(count(one, "<rect ") == 1 + 1);
  CHECK(count(confusion_picture(Tensor::zeros({2, 2}), names), "fill=\"#ffffff\"") == 4);
}

TEST_CASE("pictures of words and confusions that are not possible throw") {
  const WordRow row{"", "", {"a", "b"}, {1}};
  CHECK_THROWS_WITH_AS(word_picture({&row, 1}),
                       doctest::Contains("a text has 2 words and 1 values"), Error);
  const std::vector<std::string> names{"a", "b"};
  const auto refused = [&](const Tensor& counts, const char* text, std::int64_t most = 1) {
    CHECK(test::throws_with(std::string("confusion_picture|") + text,
                            [&] { confusion_picture(counts, names, {.most = most}); }));
  };
  refused(Tensor(), "counts are an undefined tensor");
  refused(Tensor::zeros({3, 3}), "counts are float32[3, 3], names 2");
  refused(Tensor::zeros({2, 2}), "most is 0", 0);
  refused(Tensor::from<double>({2, 2}, {1, 0, -1, 0}), "the count at [1, 0] is -1");
  refused(Tensor::from<double>({2, 2}, {1, NAN, 1, 0}), "the count at [0, 1] is nan");
}

}  // namespace
}  // namespace tapeloop::nn
