// SPDX-License-Identifier: MIT
// Writes the page: one file with the data as JSON and base64, and the markup, style and
// script of activation_page.html.
#include "tapeloop/nn/look/activation_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "nn/look/activation_page_html.h"  // the build generates it from activation_page.html
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/look/markup.h"

namespace tapeloop::nn {

namespace {

using Json = nlohmann::json;

std::string base64(const std::string& bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      three = three << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      result.push_back(i + k <= bytes.size() ? kDigits[three >> (18 - 6 * k) & 63] : '=');
    }
  }
  return result;
}

// [text, first step, steps] of each coloured piece.
Json cells_of(std::span<const std::string> symbols) {
  Json cells = Json::array();
  for (const TextCell& cell : text_cells(symbols)) {
    cells.push_back({cell.text, cell.first, cell.steps});
  }
  return cells;
}

// All units of one sequence, in order of time, as 16-bit numbers.
Json row_of(const Activation& a, std::int64_t sequence) {
  double scale = 0;
  for (const float x : a.values) {
    if (std::isfinite(x)) scale = std::max(scale, static_cast<double>(std::abs(x)));
  }
  std::string bytes;
  for (std::int64_t unit = 0; unit < a.units; ++unit) {
    for (std::int64_t t = 0; t < a.steps; ++t) {
      const double x = static_cast<double>(a.at(t, sequence, unit));
      const int number = !std::isfinite(x) ? -32768
                         : scale == 0      ? 0
                                           : static_cast<int>(std::lround(x / scale * 32767));
      const auto word = static_cast<unsigned>(number) & 0xFFFFu;
      bytes.push_back(static_cast<char>(word & 0xFFu));
      bytes.push_back(static_cast<char>(word >> 8));
    }
  }
  return {{"layer", a.layer}, {"name", a.name}, {"state", a.state},
          {"units", a.units}, {"scale", scale}, {"data", base64(bytes)}};
}

// JSON in a <script> element: no text in it may look like the end of the element.
std::string within_script(const Json& json) {
  const std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  std::string result;
  for (const char c : text) {
    if (c == '<') {
      result += "\\u003c";
    } else {
      result.push_back(c);
    }
  }
  return result;
}

void replace(std::string& text, const std::string& mark, const std::string& by) {
  for (std::size_t at = text.find(mark); at != std::string::npos;
       at = text.find(mark, at + by.size())) {
    text.replace(at, mark.size(), by);
  }
}

}  // namespace

std::string activation_page(std::span<const Activation> activations,
                            std::span<const std::string> symbols,
                            const ActivationPageOptions& options) {
  if (activations.empty() || symbols.empty()) {
    fail("activation_page",
         fmt::format("{} values over {} steps were given; run a model with recurrent layers while "
                     "RecordActivations is in scope",
                     activations.size(), symbols.size()));
  }
  double bytes = 64.0 * static_cast<double>(symbols.size());
  for (const Activation& a : activations) {
    if (a.steps != static_cast<std::int64_t>(symbols.size())) {
      fail("activation_page",
           fmt::format("\"{}\" of layer \"{}\" has {} steps, {} symbols were given; give one for "
                       "each step",
                       a.name, a.layer, a.steps, symbols.size()));
    }
    if (options.sequence < 0 || options.sequence >= a.batch) {
      fail("activation_page",
           fmt::format("sequence is {}, but the batch has {} sequences, numbered from 0",
                       options.sequence, a.batch));
    }
    bytes += static_cast<double>(a.steps * a.units) * 8 / 3;
  }
  if (bytes > options.most_mib * 1048576) {
    fail("activation_page",
         fmt::format(
             "{} steps of {} values need {:.1f} MiB, more than most_mib = {:.3g}; give a "
             "text of at most {:.0f} steps, or fewer of the values",
             symbols.size(), activations.size(), bytes / 1048576, options.most_mib,
             std::floor(static_cast<double>(symbols.size()) * options.most_mib * 1048576 / bytes)));
  }
  Json rows = Json::array();
  for (const Activation& a : activations) rows.push_back(row_of(a, options.sequence));
  std::string page(kActivationPage);
  replace(page, "PAGE_TITLE", escape_markup(options.title));
  // Inserts the data last, so that nothing in the data is replaced.
  const std::string mark = "PAGE_DATA";
  page.replace(
      page.find(mark), mark.size(),
      within_script({{"cells", cells_of(symbols)}, {"rows", rows}, {"steps", symbols.size()}}));
  return page;
}

}  // namespace tapeloop::nn
