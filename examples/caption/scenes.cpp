// SPDX-License-Identifier: MIT
// Reading lists of images with captions; drawing scenes.
#include "examples/caption/scenes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <string_view>

#include "examples/common/pictures/digits.h"
#include "examples/common/pictures/idx.h"
#include "examples/common/pictures/lists.h"
#include "examples/common/text.h"
#include "tapeloop/autograd/tensor/error.h"

namespace caption {

using namespace tapeloop;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 28;
constexpr std::int64_t kMostWords = 100;
constexpr const char* kLines =
    "`image file TAB caption`, or `layout TAB index TAB index TAB caption` with the layout single, "
    "horizontal or vertical";

Tokens words_of(std::string_view caption) {
  Tokens words;
  const std::string plain = common::with_plain_spaces(caption);
  for (const std::string_view word : common::split(plain, ' '))
    if (!word.empty()) words.emplace_back(word);
  return words;
}

bool is_layout(std::string_view word) {
  return word == "single" || word == "horizontal" || word == "vertical";
}

// Whether a line has the columns of a list of captions: 4 or 2.
bool fits(const common::Columns& columns) {
  return columns.size() == 2 || (columns.size() == 4 && is_layout(columns[0]));
}

// One or two digits [size, size] on a black canvas of twice that size.
common::Image scene_of(const std::string& layout, const std::uint8_t* a, const std::uint8_t* b,
                       std::int64_t size) {
  common::Image canvas{2 * size, 2 * size, 1, {}};
  canvas.pixels.resize(static_cast<std::size_t>(4 * size * size));
  const auto put = [&](const std::uint8_t* digit, std::int64_t top, std::int64_t left) {
    for (std::int64_t r = 0; r < size; ++r)
      std::copy(digit + r * size, digit + (r + 1) * size, &canvas.at(top + r, left));
  };
  const std::int64_t half = size / 2;
  if (layout == "single") put(a, half, half);
  if (layout == "horizontal") put(a, half, 0), put(b, half, size);
  if (layout == "vertical") put(a, 0, half), put(b, size, half);
  return canvas;
}

struct Bytes {
  std::string pixels;
  std::int64_t count = 0, size = 0;
  const std::uint8_t* at(std::int64_t i) const {
    return reinterpret_cast<const std::uint8_t*>(pixels.data()) + i * size * size;
  }
};

Bytes read_digit_images(const std::string& folder, bool smaller) {
  const std::string file = common::find_idx(folder, "images-idx3-ubyte", smaller);
  std::vector<std::int64_t> sizes;
  Bytes digits{.pixels = common::read_idx(file, 3, sizes)};
  digits.count = sizes[0], digits.size = sizes[1];
  if (sizes[1] != sizes[2] || sizes[1] < 4 || sizes[1] > 512) {
    throw FileError(fmt::format("{} has images of {} x {} pixels, expected squares of 4 to 512",
                                file, sizes[1], sizes[2]));
  }
  return digits;
}

std::int64_t index_of(std::string_view text, const Bytes& digits, const std::string& list,
                      std::int64_t line) {
  std::int64_t index = -1;
  if (!common::read_count(text, index) || index < 0 || index >= digits.count) {
    throw common::TextError(list, line,
                            fmt::format("the index is {}, expected one of the {} images beside it",
                                        common::printable(text), digits.count));
  }
  return index;
}

// All images in one size, with equal channels.
void add_images(Scenes& scenes, const std::vector<common::Image>& images, const ReadOptions& o) {
  const bool coloured = std::any_of(images.begin(), images.end(),
                                    [](const common::Image& image) { return image.channels == 3; });
  scenes.channels = o.channels > 0 ? o.channels : coloured ? 3 : 1;
  for (const common::Image& image : images) {
    scenes.resized += image.height != scenes.size || image.width != scenes.size ? 1 : 0;
    scenes.rows.push_back(
        common::resized(common::with_channels(image, scenes.channels), scenes.size, scenes.size)
            .pixels);
  }
}

}  // namespace

Scenes read_scenes(const std::string& path, const ReadOptions& options) {
  const auto part = options.smaller ? common::Part::test : common::Part::train;
  const std::string list = common::find_list(path, part, {fits, kLines});
  const std::string text = common::read_text_file(list, kMostBytes);
  const std::vector<std::string_view> lines = common::split(text, '\n');
  const std::size_t kind = common::split(lines[0], '\t').size();
  if (!fits(common::split(lines[0], '\t'))) {
    throw common::TextError(list, 1, fmt::format("expected {}", kLines));
  }
  const std::string folder = fs::path(list).parent_path().string();
  const std::string here = folder.empty() ? "." : folder;
  const Bytes digits = kind == 4 ? read_digit_images(here, options.smaller) : Bytes{};
  Scenes scenes;
  scenes.size = options.size > 0 ? options.size : kind == 4 ? 2 * digits.size : 56;
  std::vector<common::Image> images;
  std::string first_damage;
  std::int64_t number = 0;
  for (const std::string_view line : lines) {
    ++number;
    if (line.empty()) continue;
    const common::Columns columns = common::split(line, '\t');
    if (columns.size() != kind) {
      ++scenes.skipped[fmt::format("without {} columns", kind)];
      continue;
    }
    Tokens words = words_of(columns.back());
    if (words.empty() || static_cast<std::int64_t>(words.size()) > kMostWords) {
      ++scenes.skipped[words.empty() ? "without a caption"
                                     : fmt::format("of more than {} words", kMostWords)];
      continue;
    }
    if (kind == 4) {
      if (!is_layout(columns[0])) {
        throw common::TextError(list, number,
                                fmt::format("the layout is {}, expected single, horizontal or "
                                            "vertical",
                                            common::printable(columns[0])));
      }
      const std::int64_t a = index_of(columns[1], digits, list, number);
      const std::int64_t b =
          columns[0] == "single" ? a : index_of(columns[2], digits, list, number);
      images.push_back(scene_of(std::string(columns[0]), digits.at(a), digits.at(b), digits.size));
    } else {
      try {
        images.push_back(common::read_image((fs::path(here) / columns[0]).string()));
      } catch (const FileError& error) {
        if (first_damage.empty()) first_damage = error.what();
        ++scenes.skipped["whose image cannot be read"];
        continue;
      }
    }
    scenes.captions.push_back(std::move(words));
  }
  if (images.empty()) {
    throw FileError(fmt::format("{} has no line with an image and a caption{}{}", list,
                                first_damage.empty() ? "" : "; the first image: ", first_damage));
  }
  if (!first_damage.empty()) {  // with the first one's reason
    const auto damaged = scenes.skipped.extract("whose image cannot be read");
    scenes.skipped["whose image cannot be read, first: " + first_damage] = damaged.mapped();
  }
  add_images(scenes, images, options);
  return scenes;
}

Scenes draw_scenes(std::int64_t count, Random& random) {
  constexpr std::array<const char*, 10> kNames = {"zero", "one", "two",   "three", "four",
                                                  "five", "six", "seven", "eight", "nine"};
  constexpr std::array<const char*, 3> kLayouts = {"single", "horizontal", "vertical"};
  const common::Digits digits = common::draw_digits(2 * count, random);
  std::vector<std::uint8_t> bytes;
  for (const float pixel : digits.pixels)
    bytes.push_back(static_cast<std::uint8_t>(std::lround(pixel * 255)));
  const auto one = [&](std::size_t label) {
    return fmt::format("{} {}", label == 8 ? "an" : "a", kNames[label]);
  };
  const auto many = [&](std::size_t label) {
    const std::string name = kNames[label];
    return fmt::format("two {}{}", name, name.ends_with('o') || name.ends_with('x') ? "es" : "s");
  };
  Scenes scenes;
  scenes.size = 2 * digits.size;
  std::vector<common::Image> images;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t drawn = random.below(5);  // a fifth has one digit
    const std::string layout = kLayouts[drawn == 0 ? 0 : drawn < 3 ? 1 : 2];
    const std::int64_t a = 2 * i;
    const auto label_a = static_cast<std::size_t>(digits.labels[static_cast<std::size_t>(a)]);
    const std::int64_t b = a + 1;
    const auto label_b = static_cast<std::size_t>(digits.labels[static_cast<std::size_t>(b)]);
    const bool beside = layout == "horizontal", same = label_a == label_b;
    const std::string text = layout == "single" ? one(label_a)
                             : same
                                 ? many(label_a) + (beside ? " side by side" : " stacked")
                                 : one(label_a) + (beside ? " left of " : " above ") + one(label_b);
    const std::int64_t area = digits.size * digits.size;
    images.push_back(
        scene_of(layout, bytes.data() + a * area, bytes.data() + b * area, digits.size));
    scenes.captions.push_back(words_of(text));
  }
  add_images(scenes, images, {.channels = 1});
  return scenes;
}

Vocabulary::Vocabulary(const std::vector<Tokens>& captions) {
  for (const Tokens& caption : captions) {
    longest_ = std::max(longest_, static_cast<std::int64_t>(caption.size()));
    for (const std::string& word : caption)
      if (symbols_.emplace(word, size()).second) words_.push_back(word);
  }
}

Tokens Vocabulary::words(const std::vector<std::int64_t>& symbols) const {
  Tokens result;
  for (const std::int64_t symbol : symbols)
    result.push_back(words_[static_cast<std::size_t>(symbol)]);
  return result;
}

Tensor images_of(const Scenes& scenes, const std::vector<std::int64_t>& list) {
  const auto count = static_cast<std::int64_t>(list.size());
  Tensor result = Tensor::empty({count, scenes.channels, scenes.size, scenes.size}, DType::float32);
  float* to = result.data<float>();
  for (const std::int64_t i : list) {
    const std::vector<std::uint8_t>& row = scenes.rows[static_cast<std::size_t>(i)];
    const auto channels = static_cast<std::size_t>(scenes.channels);
    for (std::size_t channel = 0; channel < channels; ++channel)
      for (std::size_t p = channel; p < row.size(); p += channels)
        *to++ = static_cast<float>(row[p]) / 255.0f;
  }
  return result;
}

Batch batch_of(const Scenes& scenes, const Vocabulary& words,
               const std::vector<std::int64_t>& list) {
  std::size_t steps = 0;
  for (const std::int64_t i : list)
    steps = std::max(steps, scenes.captions[static_cast<std::size_t>(i)].size() + 1);
  const std::size_t count = list.size();
  std::vector<std::int64_t> symbols(steps * count, kEnd), targets(steps * count, kNone);
  std::vector<float> within(steps * count, 0);
  for (std::size_t n = 0; n < count; ++n) {
    const Tokens& caption = scenes.captions[static_cast<std::size_t>(list[n])];
    for (std::size_t t = 0; t <= caption.size(); ++t) {
      symbols[t * count + n] = t == 0 ? kStart : words.symbol(caption[t - 1]);
      targets[t * count + n] = t < caption.size() ? words.symbol(caption[t]) : kEnd;
      within[t * count + n] = 1;
    }
  }
  const auto t = static_cast<std::int64_t>(steps), n = static_cast<std::int64_t>(count);
  return {images_of(scenes, list), Tensor::from({t, n}, symbols), Tensor::from({t, n}, targets),
          Tensor::from({t, n, 1}, within)};
}

}  // namespace caption
