// SPDX-License-Identifier: MIT
// The pictures of examples/seq2seq: well-formed XML, rows of attention that sum to 1, no boxes for
// padding.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <regex>

#include "examples/common/pictures/svg.h"
#include "examples/seq2seq/data/text.h"
#include "examples/seq2seq/pictures/picture.h"
#include "tests/support.h"

using namespace seq2seq;
using tapeloop::Tensor;
using tapeloop::test::message_of;

namespace {

// Checks that elements close in the order they opened, attributes are quoted, and text has no bare
// markup. Returns "" or the fault.
std::string xml_fault(const std::string& xml) {
  if (first_invalid_utf8(xml)) return "bytes that are no UTF-8";
  std::vector<std::string> open;
  const std::regex tag(R"(^<(/?)([A-Za-z]+)((?: [A-Za-z0-9:-]+="[^"<]*")*)(/?)>)");
  const std::regex entity("^&(amp|lt|gt|quot);");
  std::smatch found;
  for (std::size_t i = 0; i < xml.size();) {
    if (xml[i] == '<') {
      const std::string rest = xml.substr(i, 2000);
      if (!std::regex_search(rest, found, tag)) return "not a tag: " + rest.substr(0, 60);
      if (found[1].length() > 0) {
        if (open.empty() || open.back() != found[2]) return "closed, not open: " + found[2].str();
        open.pop_back();
      } else if (found[4].length() == 0) {
        open.push_back(found[2]);
      }
      i += static_cast<std::size_t>(found[0].length());
    } else if (xml[i] == '&') {
      const std::string rest = xml.substr(i, 8);
      if (!std::regex_search(rest, found, entity)) return "not an entity: " + rest;
      i += static_cast<std::size_t>(found[0].length());
    } else if (xml[i] == '>') {
      return "a bare >";
    } else {
      ++i;
    }
  }
  return open.empty() ? "" : "left open: " + open.back();
}

struct Box {
  double x, y, weight;
};
// The boxes of weights, recognized by their colour.
std::vector<Box> boxes(const std::string& svg) {
  const std::regex box(
      "<rect x=\"([^\"]+)\" y=\"([^\"]+)\"[^>]*fill=\"#12467e\"(?: fill-opacity=\"([^\"]+)\")?/>");
  std::vector<Box> found;
  for (std::sregex_iterator i(svg.begin(), svg.end(), box), end; i != end; ++i) {
    found.push_back(
        {std::stod((*i)[1]), std::stod((*i)[2]), (*i)[3].matched ? std::stod((*i)[3]) : 1.0});
  }
  return found;
}

Looked looked_at() {
  return {.source = {"三", "月", " ", "<"},
          .target = {"&", "Ü", "end"},
          .weights = Tensor::from<float>({3, 6}, {0.7f, 0.1f, 0.15f, 0.05f, 0, 0, 0, 1, 0, 0, 0, 0,
                                                  .25f, .25f, .25f, .25f, 0, 0}),
          .caption = "a \"quoted\" & <odd> caption \x01\xff"};
}

CarryTrace trace(const std::vector<int>& carries, double sign) {
  CarryTrace result;
  std::vector<double> hidden;
  for (int carry : carries) {
    result.digits.emplace_back("01");
    result.sums.emplace_back("1");
    hidden.insert(hidden.end(), {0.3, sign * (carry == 1 ? 0.9 : -0.9), 0.01 * carry - 0.5});
  }
  result.carries = carries;
  result.hidden = Tensor::from({static_cast<std::int64_t>(carries.size()), 3}, hidden);
  result.caption = "1 + 1 = 2";
  return result;
}

}  // namespace

TEST_CASE("an attention picture is XML whatever its labels hold") {
  CHECK(xml_fault("<a><b x=\"1\"/></a>").empty());
  CHECK_FALSE(xml_fault("<a>&</a>").empty());
  CHECK_FALSE(xml_fault("<a><b></a>").empty());
  const std::string svg = attention_picture("dates <&>", {looked_at(), looked_at()});
  CHECK(xml_fault(svg) == "");
  CHECK(svg.find(">三<") != std::string::npos);
  CHECK(svg.find(">␣<") != std::string::npos);
  CHECK(svg.find(">Ü<") != std::string::npos);
  CHECK(svg.find("&lt;odd&gt; caption \ufffd\ufffd<") != std::string::npos);
}

TEST_CASE("in an attention picture the rows sum to 1, and padding has no box") {
  const std::vector<Box> found = boxes(attention_picture("weights", {looked_at()}));
  std::map<double, double> sums;
  double left = 1e9, right = 0;
  for (const Box& box : found) {
    sums[box.y] += box.weight;
    left = std::min(left, box.x);
    right = std::max(right, box.x);
  }
  REQUIRE(sums.size() == 3);
  for (const auto& [y, sum] : sums) CHECK(std::abs(sum - 1) < 0.002);
  CHECK(found.size() == 9);
  CHECK(right - left == doctest::Approx(3 * 18));  // four columns of 18 pixels
}

TEST_CASE("an attention picture is bounded, however long the sentences and however many") {
  const auto spread_out = [](std::int64_t rows, std::int64_t columns, double sharp) {
    Looked looked;
    std::vector<float> weights;
    for (std::int64_t t = 0; t < rows; ++t) {
      looked.target.emplace_back("word");
      const auto dark = static_cast<float>(sharp);
      const float rest = (1 - dark) / static_cast<float>(columns);
      for (std::int64_t s = 0; s < columns; ++s) {
        weights.push_back(rest + (s == t % columns ? dark : 0));
      }
    }
    for (std::int64_t s = 0; s < columns; ++s)
      looked.source.emplace_back(s % 2 == 0 ? "long word" : "é");
    looked.weights = Tensor::from({rows, columns}, weights);
    for (int i = 0; i < 200; ++i) looked.caption += "写 word ";
    return looked;
  };
  constexpr std::size_t kMost = 400'000;
  const std::string dense = attention_picture("t", {spread_out(121, 60, 0)});
  CHECK(xml_fault(dense) == "");
  CHECK(dense.size() < kMost);
  CHECK(boxes(dense).size() <= 3500);
  CHECK(dense.find("; weights below 0.017 are not shown<") != std::string::npos);
  const std::string sharp = attention_picture("t", {spread_out(121, 60, 0.9)});
  CHECK(boxes(sharp).size() == 121);
  CHECK(sharp.find("are not shown") == std::string::npos);
  CHECK(boxes(attention_picture("t", {spread_out(30, 30, 0.9)})).size() == 30);

  const std::string huge = attention_picture("t", {spread_out(700, 900, 0.9)});
  CHECK(xml_fault(huge) == "");
  CHECK(huge.size() < kMost);
  CHECK(huge.find("(the first 233 of 900 symbols read, the first 233 of 700 symbols written)") !=
        std::string::npos);
  CHECK(std::stod(huge.substr(huge.find("width=\"") + 7)) <= 1240);

  const std::string many =
      attention_picture("t", std::vector<Looked>(100, spread_out(40, 40, 0.5)));
  CHECK(xml_fault(many) == "");
  CHECK(many.size() < kMost);
  CHECK(many.find(" more, for which this picture has no room") != std::string::npos);
  const std::string tall =
      attention_picture("t", std::vector<Looked>(100, spread_out(30, 5, 0.99)));
  CHECK(tall.find(" more, for which this picture has no room") != std::string::npos);
  CHECK(std::stod(tall.substr(tall.find("height=\"") + 8)) <= 4100);
}

TEST_CASE("an attention picture of nothing says so") {
  const std::string svg = attention_picture("t", {});
  CHECK(xml_fault(svg) == "");
  CHECK(svg.find(">the model wrote nothing, so there is no attention to show<") !=
        std::string::npos);
}

TEST_CASE("weights that do not sum to 1, look at padding or have other sizes are refused") {
  Looked wrong = looked_at();
  wrong.weights = wrong.weights.clone();
  wrong.weights.data<float>()[4] = 0.5f;
  CHECK(message_of([&] { attention_picture("", {wrong}); }) ==
        "attention picture: row 0 sums to 1.000000 over the source and 0.500000 over padding, "
        "expected 1 and 0; pass the decoder's weights unchanged");
  wrong = looked_at();
  wrong.weights = Tensor::full({3, 4}, 0.2);
  CHECK(message_of([&] {
          attention_picture("", {wrong});
        }).starts_with("attention picture: row 0 sums to 0.800000"));
  wrong.target.pop_back();
  CHECK(message_of([&] { attention_picture("", {wrong}); }) ==
        "attention picture: weights are float32[3, 4], expected [T = 2, S = 4 or more], a row for "
        "each unit of the target");
  wrong.weights = Tensor();
  CHECK(message_of([&] {
          attention_picture("", {wrong});
        }).starts_with("attention picture: weights are an undefined tensor, expected"));
}

TEST_CASE("the length picture has a curve for each model and the place where training ends") {
  const std::string svg =
      length_picture("copy & reverse", {1, 5, 10, 20},
                     {{"with", {1, 1, 1, 0.5}}, {"without", {1, 0, 0, 0}, true}}, 10);
  CHECK(xml_fault(svg) == "");
  CHECK(svg.find("longer than any in training") != std::string::npos);
  CHECK(svg.find("stroke-dasharray") != std::string::npos);
  CHECK(xml_fault(length_picture("one", {1}, {{"with", {1}}}, 1)) == "");
  CHECK(message_of([] {
          length_picture("", {1, 2}, {{"short", {1}}}, 1);
        }) == "length picture: 'short' has 1 values for 2 lengths; give one for each");
  CHECK(message_of([] { length_picture("", {}, {}, 1); }) ==
        "length picture: no lengths were given, expected some");
}

TEST_CASE("units that follow the carry are found and drawn first") {
  const std::vector<CarryTrace> traces = {trace({0, 1, 1, 0}, -1), trace({1, 0}, -1)};
  const std::vector<double> follows = carry_correlations(traces);
  REQUIRE(follows.size() == 3);
  CHECK(follows[0] == 0);  // constant
  CHECK(follows[1] == doctest::Approx(-1));
  CHECK(follows[2] == doctest::Approx(1));
  const std::string svg = carry_picture("carry <1>", traces);
  CHECK(xml_fault(svg) == "");
  CHECK(svg.find("unit  1") < svg.find("unit  0"));
  CHECK(svg.find("unit  2") < svg.find("unit  0"));
  CarryTrace wrong = trace({0, 1}, 1);
  wrong.carries.push_back(1);
  CHECK(message_of([&] { carry_picture("", {wrong}); }) ==
        "carry picture: 2 digits, 2 sums, 3 carries and hidden units float64[2, 3]; expected as "
        "many of each, and [T, H] with the same H in all");
  CHECK(message_of([] { carry_picture("", {}); }) ==
        "carry picture: no sums were given, expected some");
}
