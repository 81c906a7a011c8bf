// SPDX-License-Identifier: MIT
#include "examples/regions/scenes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "examples/common/pictures/idx.h"
#include "examples/common/pictures/image.h"
#include "examples/common/pictures/slic.h"
#include "tapeloop/autograd/tensor/error.h"

namespace regions {

using namespace tapeloop;

namespace {

constexpr std::int64_t kSide = 32, kRegion = 5;

void add_segments(Scenes& scenes) {
  const auto pixels = static_cast<std::size_t>(scenes.pixels());
  for (std::size_t i = 0; i < static_cast<std::size_t>(scenes.count()); ++i) {
    const std::vector<std::int64_t> own =
        common::slic(std::span(scenes.rgb).subspan(3 * i * pixels, 3 * pixels), scenes.height,
                     scenes.width, kRegion);
    scenes.segments.insert(scenes.segments.end(), own.begin(), own.end());
  }
}

// Draws one scene.
class Painter {
 public:
  Painter(Scenes& scenes, Random& random) : scenes_(scenes), random_(random) {
    first_ = scenes.truth.size();
    scenes.truth.resize(first_ + kSide * kSide, 0);
    scenes.rgb.resize(3 * (first_ + kSide * kSide));
    taken_.resize(kSide * kSide);
    for (std::size_t i = 0; i < kSide * kSide; ++i) paint(i, 90, 120, 90);
  }
  double between(double low, double high) { return low + (high - low) * random_.uniform(); }

  // An ellipse. Returns false, and paints nothing, if it would touch another one or the border.
  bool blob(double row, double column, double down, double right, bool red, std::uint8_t label) {
    std::vector<std::size_t> inside;
    for (double r = std::floor(row - down - 2); r <= row + down + 2; ++r) {
      for (double c = std::floor(column - right - 2); c <= column + right + 2; ++c) {
        const double distance = std::hypot((r - row) / down, (c - column) / right);
        const double margin = std::hypot((r - row) / (down + 2), (c - column) / (right + 2));
        if (margin > 1) continue;
        if (r < 0 || c < 0 || r >= kSide || c >= kSide) return false;
        const auto pixel = static_cast<std::size_t>(r) * kSide + static_cast<std::size_t>(c);
        if (taken_[pixel] && !joins_) return false;
        if (distance <= 1) inside.push_back(pixel);
      }
    }
    for (const std::size_t pixel : inside) {
      if (taken_[pixel]) continue;
      taken_[pixel] = true;
      scenes_.truth[first_ + pixel] = label;
      red ? paint(pixel, 200, 80, 70) : paint(pixel, 70, 90, 190);
    }
    return true;
  }
  // A body, and a head that touches it. Returns false if there was no room for both.
  bool figure() {
    const double down = between(2.5, 4.5), right = between(2.5, 4.5), head = between(1.8, 2.6);
    const double row = between(8, kSide - 8), column = between(8, kSide - 8);
    const double angle = between(0, 6.283);
    if (!blob(row, column, down, right, false, 2)) return false;
    joins_ = true;
    const bool whole = blob(row + std::sin(angle) * (down + head - 0.7),
                            column + std::cos(angle) * (right + head - 0.7), head, head, true, 1);
    joins_ = false;
    return whole;
  }

 private:
  void paint(std::size_t pixel, double r, double g, double b) {
    const double light = between(-18, 18);
    std::size_t at = 3 * (first_ + pixel);
    for (const double c : {r, g, b}) {
      scenes_.rgb[at++] =
          static_cast<std::uint8_t>(std::clamp(c + light + between(-14, 14), 0.0, 255.0));
    }
  }
  Scenes& scenes_;
  Random& random_;
  std::size_t first_ = 0;
  std::vector<bool> taken_;
  bool joins_ = false;
};

Scenes read_idx_scenes(const std::string& folder) {
  Scenes scenes;
  std::vector<std::int64_t> image, label, segment;
  const std::string images = common::find_idx(folder, "images-idx4-ubyte");
  const std::string rgb = common::read_idx(images, 4, image);
  const std::string truth =
      common::read_idx(common::find_idx(folder, "labels-idx3-ubyte"), 3, label);
  const auto fits = [&](const std::vector<std::int64_t>& sizes) {
    return sizes[0] == image[0] && sizes[1] == image[1] && sizes[2] == image[2];
  };
  if (image[3] != 3 || !fits(label) || image[0] < 1 || image[1] < 1 || image[2] < 1) {
    throw FileError(
        fmt::format("{} has {} images of {} x {} pixels and {} colours, its labels are "
                    "{} of {} x {}; expected 3 colours, and labels of the same sizes",
                    images, image[0], image[1], image[2], image[3], label[0], label[1], label[2]));
  }
  scenes.height = image[1], scenes.width = image[2];
  scenes.rgb.assign(rgb.begin(), rgb.end());
  scenes.truth.assign(truth.begin(), truth.end());
  if (!common::has_idx(folder, "segments-idx3-ubyte")) {
    add_segments(scenes);
    return scenes;
  }
  const std::string file = common::find_idx(folder, "segments-idx3-ubyte");
  for (const char c : common::read_idx(file, 3, segment))
    scenes.segments.push_back(static_cast<unsigned char>(c));
  if (!fits(segment)) {
    throw FileError(
        fmt::format("{} has other sizes than {}; expected a region for each pixel", file, images));
  }
  return scenes;
}

Scenes read_pictures(const std::string& folder, std::int64_t side) {
  namespace fs = std::filesystem;
  Scenes scenes;
  scenes.height = scenes.width = side;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder + "/images"))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const fs::path labels = fs::path(folder) / "labels" / file.filename();
    const common::Image image = common::read_image(file.string(), 3);
    const common::Image truth = common::read_image(labels.string());
    if (truth.channels != 1 || truth.height != image.height || truth.width != image.width) {
      throw FileError(
          fmt::format("{} has {} x {} pixels and {} channels, {} has {} x {}; expected "
                      "a grey image of the same size, whose values are labels",
                      labels.string(), truth.height, truth.width, truth.channels, file.string(),
                      image.height, image.width));
    }
    const common::Image small = common::resized(image, side, side);
    scenes.rgb.insert(scenes.rgb.end(), small.pixels.begin(), small.pixels.end());
    for (std::int64_t row = 0; row < side; ++row) {
      for (std::int64_t column = 0; column < side; ++column) {  // the nearest: labels have no mean
        scenes.truth.push_back(truth.at((2 * row + 1) * truth.height / (2 * side),
                                        (2 * column + 1) * truth.width / (2 * side)));
      }
    }
  }
  add_segments(scenes);
  return scenes;
}

}  // namespace

Scenes draw_scenes(std::int64_t count, Random& random) {
  Scenes scenes;
  scenes.height = scenes.width = kSide;
  scenes.labels = 3;
  for (std::int64_t i = 0; i < count; ++i) {
    Painter painter(scenes, random);
    for (int tries = 0; tries < 10 && !painter.figure(); ++tries) continue;
    if (random.uniform() < 0.4) painter.figure();
    for (int k = 0; k < 4; ++k) {
      const bool red = k % 2 == 0;
      const double size = red ? painter.between(1.8, 2.6) : painter.between(2.5, 4);
      painter.blob(painter.between(2, kSide - 2), painter.between(2, kSide - 2), size, size, red,
                   0);
    }
  }
  add_segments(scenes);
  return scenes;
}

Scenes read_scenes(const std::string& folder, std::int64_t side) {
  Scenes scenes = std::filesystem::is_directory(folder + "/images") ? read_pictures(folder, side)
                                                                    : read_idx_scenes(folder);
  if (scenes.count() < 1) throw FileError(fmt::format("{} has no images", folder));
  scenes.labels = 1 + *std::max_element(scenes.truth.begin(), scenes.truth.end());
  if (scenes.labels > 64) {
    throw FileError(fmt::format("{} has a label {}, expected 0 to 63; are they labels or colours?",
                                folder, scenes.labels - 1));
  }
  scenes.labels = std::max<std::int64_t>(scenes.labels, 2);
  return scenes;
}

void append(Scenes& scenes, const Scenes& more, const std::string& folder) {
  if (more.height != scenes.height || more.width != scenes.width) {
    throw FileError(fmt::format("{} has images of {} x {} pixels, expected {} x {} as in --data",
                                folder, more.height, more.width, scenes.height, scenes.width));
  }
  const auto join = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  join(scenes.rgb, more.rgb), join(scenes.truth, more.truth);
  join(scenes.segments, more.segments);
  scenes.labels = std::max(scenes.labels, more.labels);
}

Batch batch_of(const Scenes& scenes, const std::vector<std::int64_t>& list) {
  const auto pixels = static_cast<std::size_t>(scenes.pixels());
  std::vector<std::int64_t> segments, truth;
  std::vector<float> rgb;
  for (const std::int64_t scene : list) {
    const std::size_t first = static_cast<std::size_t>(scene) * pixels;
    for (std::size_t i = first; i < first + pixels; ++i) {
      segments.push_back(scenes.segments[i]);
      truth.push_back(scenes.truth[i]);
      for (std::size_t c = 0; c < 3; ++c)
        rgb.push_back(static_cast<float>(scenes.rgb[3 * i + c]) / 255);
    }
  }
  const auto count = static_cast<std::int64_t>(list.size());
  Batch batch{nn::Superpixels(segments, count, scenes.height, scenes.width),
              Tensor::from({count, scenes.height, scenes.width, 3}, rgb),
              Tensor::from({count * scenes.pixels()}, truth),
              {}};
  std::vector<float> shares(static_cast<std::size_t>(batch.regions.nodes() * scenes.labels));
  const std::vector<std::int64_t> region = batch.regions.region().to_vector<std::int64_t>();
  for (std::size_t i = 0; i < truth.size(); ++i)
    shares[static_cast<std::size_t>(region[i] * scenes.labels + truth[i])] +=
        1.0F / static_cast<float>(truth.size());
  batch.shares = Tensor::from({batch.regions.nodes(), scenes.labels}, shares);
  return batch;
}

}  // namespace regions
