// SPDX-License-Identifier: MIT
// Files, splits, vocabularies and parallel streams.
#include "examples/char_lm/corpus.h"

#include <fmt/format.h>

#include <algorithm>

#include "dinosaur_names.h"  // the build makes it from dinosaurs.txt
#include "examples/common/text.h"
#include "tapeloop/autograd/files/safetensors_header.h"
#include "tapeloop/autograd/tensor/error.h"

namespace char_lm {

using tapeloop::Random;
using tapeloop::Tensor;

std::string_view dinosaur_names() { return kDinosaurNames; }

std::string read_text(const std::string& path) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{2} << 30;
  return common::read_text_file(path, kMostBytes, common::Encoding::any);
}

Corpus split_text(const std::string& text) {
  const std::size_t middle = text.size() / 10 * 9 + text.size() % 10 * 9 / 10;
  return {text.substr(0, middle), text.substr(middle), false};
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) lines.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

Corpus split_lines(const std::string& text) {
  Corpus corpus;
  corpus.lines = true;
  const std::vector<std::string> lines = lines_of(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    (i % 10 == 9 ? corpus.validation : corpus.train).append(lines[i]).append("\n");
  }
  return corpus;
}

namespace {

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

std::string_view without_cut_end(std::string_view text) {
  std::size_t lead = text.size();
  while (lead > 0 && continues(text[lead - 1])) --lead;
  if (lead == 0) return text;
  const auto byte = static_cast<unsigned char>(text[lead - 1]);
  const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
  return text.size() - (lead - 1) < length ? text.substr(0, lead - 1) : text;
}

std::string_view beginning_of(std::string_view text, std::size_t most) {
  constexpr std::size_t kMostContinuing = 3;
  std::size_t first = 0;
  while (first < std::min(kMostContinuing, text.size()) && continues(text[first])) ++first;
  const std::size_t last = std::min(text.size(), first + most);
  const std::string_view piece = text.substr(first, last - first);
  return last < text.size() ? without_cut_end(piece) : piece;
}

// --- vocabulary ---

Vocabulary::Vocabulary(std::string_view text) {
  index_.fill(-1);
  for (char symbol : text) index_[static_cast<unsigned char>(symbol)] = 0;
  for (std::size_t byte = 0; byte < index_.size(); ++byte) {
    if (index_[byte] < 0) continue;
    index_[byte] = size();
    symbols_.push_back(static_cast<char>(byte));
  }
}

std::int64_t Vocabulary::index(char symbol) const {
  return index_[static_cast<unsigned char>(symbol)];
}

std::string Vocabulary::escaped() const {
  std::string result;
  for (char symbol : symbols_) {
    const bool printable = symbol >= ' ' && symbol <= '~' && symbol != '\\';
    if (printable) {
      result.push_back(symbol);
    } else {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(symbol));
    }
  }
  return result;
}

Vocabulary Vocabulary::unescape(const std::string& escaped) {
  const auto bad = [&] {
    tapeloop::fail("vocabulary",
                   fmt::format("{} has a \\ that x and two hexadecimal digits do not follow",
                               tapeloop::safetensors::shown(escaped)));
  };
  const auto digit = [&](std::size_t i) {
    const std::size_t value = i < escaped.size()
                                  ? std::string_view("0123456789abcdef").find(escaped[i])
                                  : std::string_view::npos;
    if (value == std::string_view::npos) bad();
    return value;
  };
  std::string symbols;
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '\\') {
      symbols.push_back(escaped[i]);
    } else {
      if (escaped.substr(i, 2) != "\\x") bad();
      symbols.push_back(static_cast<char>(digit(i + 2) * 16 + digit(i + 3)));
      i += 3;
    }
  }
  return Vocabulary(symbols);
}

// --- streams ---

Streams::Streams(const Corpus& corpus, const Vocabulary& vocabulary, std::int64_t streams,
                 std::int64_t steps, const Random& order)
    : vocabulary_(vocabulary),
      streams_(streams),
      steps_(steps),
      length_(static_cast<std::int64_t>(corpus.train.size()) / streams),
      order_(order),
      text_(corpus.train) {
  if (length_ <= steps || corpus.validation.size() < 2) {
    tapeloop::fail(
        "text",
        fmt::format("{} characters to train on and {} to validate are too few: {} streams of {} "
                    "steps need {} and 2; give a longer text or lower --streams or --steps",
                    corpus.train.size(), corpus.validation.size(), streams, steps,
                    streams * (steps + 1)));
  }
  if (corpus.lines) lines_ = lines_of(corpus.train);
}

void Streams::prepare(std::int64_t pass) {
  if (pass == pass_) return;
  pass_ = pass;
  if (lines_.empty()) return;
  std::vector<std::size_t> places(lines_.size());
  Random random = order_;
  random.next += static_cast<std::uint64_t>(pass) << 32;  // each pass has its own random numbers
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::size_t other = static_cast<std::size_t>(random.below(i + 1));
    places[i] = places[other];
    places[other] = i;
  }
  text_.clear();
  for (std::size_t place : places) text_.append(lines_[place]).append("\n");
}

Batch Streams::at(std::int64_t update) {
  prepare(update / updates_per_pass());
  const std::int64_t position = update % updates_per_pass() * steps_;
  Batch batch{Tensor::empty({steps_, streams_}, tapeloop::DType::int64),
              Tensor::empty({steps_, streams_}, tapeloop::DType::int64), position == 0};
  std::int64_t* x = batch.x.data<std::int64_t>();
  std::int64_t* y = batch.y.data<std::int64_t>();
  for (std::int64_t n = 0; n < streams_; ++n) {
    const char* piece = text_.data() + n * length_ + position;
    for (std::int64_t t = 0; t < steps_; ++t) {
      x[t * streams_ + n] = vocabulary_.index(piece[t]);
      y[t * streams_ + n] = vocabulary_.index(piece[t + 1]);
    }
  }
  return batch;
}

}  // namespace char_lm
