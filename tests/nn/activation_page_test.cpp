// SPDX-License-Identifier: MIT
// The pages and pictures of activations and gradients.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tapeloop/nn/look/markup.h"
#include "tapeloop/nn/nn.h"

using namespace tapeloop;

// --- the page ---

namespace {

std::string between(const std::string& text, const std::string& from, const std::string& to) {
  const std::size_t start = text.find(from) + from.size();
  return text.substr(start, text.find(to, start) - start);
}

nlohmann::json data_of(const std::string& page) {
  return nlohmann::json::parse(
      between(page, "<script id=\"data\" type=\"application/json\">", "</script>"));
}

std::vector<double> numbers(const nlohmann::json& row) {
  const std::string text = row["data"];
  std::string bytes;
  std::uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    if (c == '=') break;
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bits = bits << 6 | static_cast<std::uint32_t>(digits.find(c));
    have += 6;
    if (have < 8) continue;
    have -= 8;
    bytes.push_back(static_cast<char>(bits >> have & 255));
  }
  std::vector<double> result;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    const auto word = static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[i]) |
                                                 static_cast<unsigned char>(bytes[i + 1]) << 8);
    result.push_back(static_cast<double>(static_cast<std::int16_t>(word)) / 32767 *
                     row["scale"].get<double>());
  }
  return result;
}

// True if tags are closed in order, except void elements and the contents of scripts and styles.
bool well_formed(std::string page) {
  std::vector<std::string> open;
  for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at)) {
    const std::size_t end = page.find('>', at);
    if (end == std::string::npos) return false;
    const bool closing = page[at + 1] == '/';
    const std::size_t name_at = at + (closing ? 2 : 1);
    const std::string name = page.substr(name_at, page.find_first_of(" >/", name_at) - name_at);
    const bool alone = page[end - 1] == '/' || name == "meta" || name == "input" || name[0] == '!';
    if (closing) {
      if (open.empty() || open.back() != name) return false;
      open.pop_back();
    } else if (!alone) {
      open.push_back(name);
    }
    at = end;
    if (!closing && (name == "script" || name == "style")) at = page.find("</" + name, end);
  }
  return open.empty();
}

nn::Activation made_up(std::int64_t steps, std::int64_t batch, std::int64_t units) {
  nn::Activation a{"l0", "c", true, steps, batch, units, {}};
  for (std::int64_t i = 0; i < steps * batch * units; ++i) {
    a.values.push_back(static_cast<float>(std::sin(static_cast<double>(i)) * 3));
  }
  return a;
}

}  // namespace

TEST_CASE("the page of activations holds the symbols and the values, and asks for nothing else") {
  std::vector<nn::Activation> all{made_up(4, 2, 3), made_up(4, 2, 5)};
  all[1].name = "sigmoid(f)";
  all[0].values[1 * 6 + 3 + 2] = std::numeric_limits<float>::quiet_NaN();  // step 1, unit 2
  const std::vector<std::string> symbols{"</script>", "中", "&", "\n"};
  const std::string page =
      nn::activation_page(all, symbols, {.title = "a <b> & \"c\"", .sequence = 1});
  CHECK(well_formed(page));
  CHECK(page.find("<title>a &lt;b&gt; &amp; &quot;c&quot;</title>") != std::string::npos);
  for (const char* word : {"http:", "https:", "src=", "@import", "url("}) {
    CHECK(page.find(word) == std::string::npos);
  }
  const nlohmann::json data = data_of(page);
  CHECK(data["steps"] == 4);
  REQUIRE(data["cells"].size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(data["cells"][i][0] == symbols[i]);
  REQUIRE(data["rows"].size() == 2);
  for (std::size_t r = 0; r < 2; ++r) {
    CHECK(data["rows"][r]["name"] == all[r].name);
    const std::vector<double> values = numbers(data["rows"][r]);
    REQUIRE(values.size() == static_cast<std::size_t>(4 * all[r].units));
    for (std::int64_t u = 0; u < all[r].units; ++u) {
      for (std::int64_t t = 0; t < 4; ++t) {
        const double expected = static_cast<double>(all[r].at(t, 1, u));
        const double found = values[static_cast<std::size_t>(u * 4 + t)];
        if (std::isnan(expected)) {
          CHECK(found < -data["rows"][r]["scale"].get<double>());  // -32768: not calculated
        } else {
          CHECK(found == doctest::Approx(expected).epsilon(1e-3));
        }
      }
    }
  }
}

TEST_CASE(
    "bytes of one character are one piece of the page, bytes of none are written as numbers") {
  const std::vector<std::string> symbols{"\xE4", "\xB8", "\xAD", "a", "\xFF", "\xE4", "b"};
  const nn::Activation a = made_up(7, 1, 2);
  const nlohmann::json cells = data_of(nn::activation_page({&a, 1}, symbols))["cells"];
  CHECK(cells ==
        nlohmann::json::parse(R"([["中",0,3],["a",3,1],["\\xff",4,1],["\\xe4",5,1],["b",6,1]])"));
}

TEST_CASE("what cannot be drawn is refused with a way out") {
  const nn::Activation a = made_up(4, 1, 3);
  const std::vector<std::string> three(3, "x"), four(4, "x");
  CHECK_THROWS_WITH(nn::activation_page({}, four),
                    "activation_page: 0 values over 4 steps were given; run a model with recurrent "
                    "layers while RecordActivations is in scope");
  CHECK_THROWS_WITH(
      nn::activation_page({&a, 1}, three),
      "activation_page: \"c\" of layer \"l0\" has 4 steps, 3 symbols were given; give "
      "one for each step");
  CHECK_THROWS_WITH(
      nn::activation_page({&a, 1}, four, {.sequence = 1}),
      "activation_page: sequence is 1, but the batch has 1 sequences, numbered from 0");
  const nn::Activation large = made_up(4000, 1, 100);
  CHECK_THROWS_WITH(
      nn::activation_page({&large, 1}, std::vector<std::string>(4000, "x"), {.most_mib = 0.5}),
      "activation_page: 4000 steps of 1 values need 1.3 MiB, more than most_mib = 0.5; give "
      "a text of at most 1585 steps, or fewer of the values");
}

TEST_CASE("the small picture shows the neurons that change most, a line for each") {
  nn::Activation a = made_up(3, 1, 12);
  for (std::int64_t t = 0; t < 3; ++t) {
    for (std::int64_t u = 0; u < 12; ++u) {
      // Neuron 7 changes most, then 4.
      a.values[static_cast<std::size_t>(t * 12 + u)] = static_cast<float>(u == 7   ? t * 2
                                                                          : u == 4 ? -t
                                                                                   : 0);
    }
  }
  const std::vector<std::string> symbols{"<", "中", " "};
  const std::string svg = nn::activation_picture(a, symbols, {.title = "t", .neurons = 2});
  CHECK(well_formed(svg));
  CHECK(svg.find(">7</text>") < svg.find(">4</text>"));
  CHECK(svg.find(">4</text>") != std::string::npos);
  // Full orange at the largest value, 4; half of the blue at -2; the text once on each line.
  CHECK(svg.find("height=\"20\" fill=\"#d55e00\"") != std::string::npos);
  CHECK(svg.find("height=\"20\" fill=\"#80b9d9\"") != std::string::npos);
  // The legend says so.
  CHECK(svg.find("text-anchor=\"end\">-4</text>") < svg.find("height=\"13\" fill=\"#0072b2\""));
  CHECK(svg.find("height=\"13\" fill=\"#d55e00\"") < svg.find(">+4</text>"));
  CHECK(svg.find(">+4</text>") != std::string::npos);
  // Each character has its own place, also the one after a wide character.
  CHECK(svg.find("<tspan x=\"61\">&lt;</tspan><tspan x=\"79\">中</tspan><tspan x=\"97\">\xC2\xA0"
                 "</tspan></text>") != std::string::npos);
  const std::string narrow = nn::activation_picture(a, std::vector<std::string>{"a", "é", "b"});
  CHECK(narrow.find("<tspan x=\"70\">é</tspan><tspan x=\"79\">b</tspan>") != std::string::npos);
  CHECK_THROWS_WITH(nn::activation_picture(a, std::vector<std::string>(2, "x")),
                    "activation_picture: \"c\" has 3 steps, 2 symbols were given; expected as many "
                    "of both, 1 to 400: a longer text is for activation_page()");
}

// --- the picture of gradients ---

TEST_CASE(
    "the picture of gradients has a curve for each row, and the factors by which they change") {
  std::vector<double> falls, grows, dies{0, 0, 1e-30, 1};
  for (int t = 0; t < 20; ++t) {
    falls.push_back(std::pow(2.0, t - 19));
    grows.push_back(std::pow(1.5, 19 - t));
  }
  CHECK(nn::factor_per_step(falls) == doctest::Approx(0.5));
  CHECK(nn::factor_per_step(grows) == doctest::Approx(1.5));
  CHECK(nn::factor_per_step(dies) == 0);
  const nn::GradientPanel panels[] = {
      {"before <training>", {{"RNN", "l0", falls}, {"LSTM", "l0", grows}}},
      {"after", {{"RNN", "l0", grows}, {"RNN", "l1", dies}}}};
  const std::string svg = nn::gradient_picture("Gradients & time", panels);
  CHECK(well_formed(svg));
  std::size_t curves = 0;
  for (std::size_t at = svg.find("<polyline"); at != std::string::npos;
       at = svg.find("<polyline", at + 1)) {
    ++curves;
  }
  CHECK(curves == 4);
  CHECK(svg.find("before &lt;training&gt;") != std::string::npos);
  CHECK(svg.find("Gradients &amp; time") != std::string::npos);
  CHECK(svg.find(">0.500<") != std::string::npos);
  CHECK(svg.find(">1.500<") != std::string::npos);
  CHECK(svg.find(">0<") != std::string::npos);
  const nn::GradientPanel vanishing[] = {{"t", {{"RNN", "", {1e-5, 1}}}}};
  CHECK(nn::gradient_picture("t", vanishing).find(">1e-05<") != std::string::npos);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
}

TEST_CASE("a picture of gradients without a gradient is refused with a way out") {
  CHECK_THROWS_WITH(nn::gradient_picture("t", {}),
                    "gradient_picture: 0 panels were given, expected 1 to 8");
  const nn::GradientPanel empty{"p", {}};
  CHECK_THROWS_WITH(nn::gradient_picture("t", {&empty, 1}),
                    "gradient_picture: panel \"p\" has no curve; give it the rows of "
                    "Tape::state_gradients()");
  const nn::GradientPanel none{"p", {{"LSTM", "l0", {0, 0}}}};
  CHECK_THROWS_WITH(
      nn::gradient_picture("t", {&none, 1}),
      "gradient_picture: curve \"LSTM\" of panel \"p\" has 2 steps, the last of which "
      "is 0; expected 2 or more, with a gradient at the last one: is that where the "
      "loss is?");
}

TEST_CASE("markup is escaped, and what is no UTF-8 replaced") {
  CHECK(nn::escape_markup("a<b>&\"'") == "a&lt;b&gt;&amp;&quot;&#39;");
  CHECK(nn::escape_markup("中é") == "中é");
  CHECK(nn::escape_markup("\xFFx\x01") == "\xEF\xBF\xBDx\xEF\xBF\xBD");
  // The first one is not a character of XML.
  CHECK(nn::escape_markup("\xEF\xBF\xBE|\xEF\xBF\xBD") == "\xEF\xBF\xBD|\xEF\xBF\xBD");
  for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE4\xB8", "\x80"}) {
    CHECK(nn::utf8_length(bad) == 0);
  }
  CHECK(nn::utf8_length("\xF0\x9F\x8E\xB5") == 4);
}
