// SPDX-License-Identifier: MIT
#include "examples/video/clips.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "examples/common/pictures/lists.h"
#include "examples/common/text.h"
#include "tapeloop/autograd/ops/ops.h"

namespace video {

using namespace tapeloop;

namespace {

constexpr const char* kLines = "index, label, x, y, vx, vy, frames between tabs";

// Where the digit is in each frame, and the direction of the move that led there.
struct Step {
  std::int64_t x, y, direction;
};
std::vector<Step> steps_of(const Clip& clip) {
  std::int64_t x = clip.x, y = clip.y, vx = clip.vx, vy = clip.vy;
  std::vector<Step> steps{{x, y, 0}};
  while (static_cast<std::int64_t>(steps.size()) < clip.frames) {
    if (x + vx < 0 || x + vx > kRoom) vx = -vx;
    if (y + vy < 0 || y + vy > kRoom) vy = -vy;
    x += vx, y += vy;
    steps.push_back({x, y, (vx < 0 ? 1 : 0) + (vy < 0 ? 2 : 0)});
  }
  return steps;
}

}  // namespace

Clips draw_clips(std::int64_t count, Random& random) {
  Clips clips;
  clips.digits = common::draw_digits(count, random);
  const auto below = [&](std::uint64_t most) {
    return static_cast<std::int64_t>(random.below(most));
  };
  for (std::int64_t i = 0; i < count; ++i) {
    Clip clip{i, below(kRoom + 1), below(kRoom + 1), 1 + below(3), 1 + below(3), 6 + below(7)};
    if (below(2) == 1) clip.vx = -clip.vx;
    if (below(2) == 1) clip.vy = -clip.vy;
    clips.list.push_back(clip);
  }
  return clips;
}

Clips read_clips(const std::string& source, bool test, const std::string& otherwise) {
  const auto numbers_of = [](const common::Columns& columns, std::vector<std::int64_t>& numbers) {
    numbers.assign(columns.size(), 0);
    bool all = columns.size() == 7;
    for (std::size_t i = 0; all && i < columns.size(); ++i)
      all = common::read_count(columns[i], numbers[i]);
    return all;
  };
  std::vector<std::int64_t> n;
  common::ListedDigits listed = common::read_listed(
      source, test ? common::Part::test : common::Part::train, otherwise,
      {.fits = [&](const common::Columns& columns) { return numbers_of(columns, n); },
       .lines = kLines});
  Clips clips;
  clips.digits = std::move(listed.digits);
  for (std::size_t i = 0; i < listed.lines.size(); ++i) {
    if (listed.lines[i].empty()) continue;
    const auto within = [](std::int64_t value, std::int64_t low, std::int64_t high) {
      return low <= value && value <= high;
    };
    if (!numbers_of(common::split(listed.lines[i], '\t'), n) ||
        !within(n[0], 0, clips.digits.count() - 1) || !within(n[2], 0, kRoom) ||
        !within(n[3], 0, kRoom) || !within(n[4], -kRoom / 2, kRoom / 2) ||
        !within(n[5], -kRoom / 2, kRoom / 2) || !within(n[6], 2, 1000) ||
        clips.digits.labels[static_cast<std::size_t>(n[0])] != n[1]) {
      common::fail_line(
          listed, i,
          fmt::format("{}: an index of {} digits, its label, x and y from 0 to {}, vx and vy from "
                      "{} to {}, 2 to 1000 frames",
                      kLines, clips.digits.count(), kRoom, -kRoom / 2, kRoom / 2));
    }
    clips.list.push_back({n[0], n[2], n[3], n[4], n[5], n[6]});
  }
  return clips;
}

Batch batch_of(const Clips& clips, const std::vector<std::int64_t>& list, Random& noise) {
  Batch batch;
  const std::int64_t side = clips.side(), size = clips.digits.size;
  const auto count = static_cast<std::int64_t>(list.size());
  std::int64_t longest = 0, rows = 0;
  for (const std::int64_t i : list) {
    batch.lengths.push_back(clips.list[static_cast<std::size_t>(i)].frames);
    longest = std::max(longest, batch.lengths.back());
  }
  std::vector<float> clean;
  std::vector<std::int64_t> places(static_cast<std::size_t>(longest * count)), digits;
  std::vector<std::array<std::int64_t, 2>> moved;  // place, direction
  for (std::int64_t n = 0; n < count; ++n) {
    const Clip& clip = clips.list[static_cast<std::size_t>(list[static_cast<std::size_t>(n)])];
    const std::vector<Step> steps = steps_of(clip);
    digits.push_back(clips.label(clip));
    for (std::int64_t t = 0; t < longest; ++t) {
      places[static_cast<std::size_t>(t * count + n)] = rows + std::min(t, clip.frames - 1);
    }
    for (std::int64_t t = 0; t < clip.frames; ++t) {
      const Step& step = steps[static_cast<std::size_t>(t)];
      clean.resize(clean.size() + static_cast<std::size_t>(side * side));
      float* const canvas = clean.data() + (rows + t) * side * side;
      for (std::int64_t row = 0; row < size; ++row) {
        const float* const from = clips.digits.pixels.data() + (clip.index * size + row) * size;
        std::copy(from, from + size, canvas + (step.y + row) * side + step.x);
      }
      if (t > 0) moved.push_back({t * count + n, step.direction});
    }
    rows += clip.frames;
  }
  std::sort(moved.begin(), moved.end());
  std::vector<std::int64_t> which, directions;
  for (const auto& [place, direction] : moved) {
    which.push_back(place);
    directions.push_back(direction);
  }
  batch.clean = Tensor::from({rows, 1, side, side}, clean);
  const Tensor added = random_normal({rows, 1, side, side}, 0, 0.2, noise);
  batch.frames = Tensor::empty({rows, 1, side, side}, DType::float32);
  float* const to = batch.frames.data<float>();
  const float* const more = added.data<float>();
  for (std::size_t i = 0; i < clean.size(); ++i) to[i] = std::clamp(clean[i] + more[i], 0.0F, 1.0F);
  batch.places = Tensor::from({longest * count}, places);
  batch.moved = Tensor::from({static_cast<std::int64_t>(which.size())}, which);
  batch.directions = Tensor::from({static_cast<std::int64_t>(which.size())}, directions);
  batch.digits = Tensor::from({count}, digits);
  return batch;
}

}  // namespace video
