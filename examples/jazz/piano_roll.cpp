// SPDX-License-Identifier: MIT
// Drawing of the piano roll: one function per layer, from the paper up to the notes.
// It measures no text: sizes are such that chord symbols of half a bar do not touch.
#include "examples/jazz/piano_roll.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "examples/common/pictures/svg.h"
#include "tapeloop/autograd/files/files.h"

namespace jazz {
namespace {

using common::Svg;

constexpr double kWidth = 1200;
constexpr int kBarsPerSystem = 4;
constexpr double kMargin = 24;
constexpr double kKeyboard = 46;
constexpr double kHeader = 76;        // title and legend
constexpr double kChordHeight = 24;   // above each roll
constexpr double kBarNumbers = 34;    // below each roll
constexpr double kWidestRow = 9;      // of one semitone
constexpr double kTallestRoll = 300;  // of one system; a wide range makes rows thinner

constexpr std::string_view kChordTone = "#2563a8";
constexpr std::string_view kOtherTone = "#e07b25";
constexpr std::string_view kNoChord = "#7a7f87";
constexpr std::string_view kGrey = "#565b63";  // of words

bool is_black(int pitch) {
  constexpr std::array<bool, 12> kBlack = {false, true,  false, true,  false, false,
                                           true,  false, true,  false, true,  false};
  return kBlack[static_cast<std::size_t>(pitch % 12)];
}

class Picture {
 public:
  explicit Picture(const Tune& tune)
      : tune_(tune),
        bar_(ticks_per_bar(tune)),
        bars_(std::max(1, bars_of(tune))),
        per_system_(std::min(kBarsPerSystem, bars_)) {
    low_ = kLowestMelody + 5;
    high_ = low_ + 12;
    if (!tune.notes.empty()) {
      const auto [low, high] =
          std::minmax_element(tune.notes.begin(), tune.notes.end(),
                              [](const Note& a, const Note& b) { return a.pitch < b.pitch; });
      low_ = low->pitch - 1;
      high_ = std::max(high->pitch + 1, low_ + 12);
    }
    row_ = std::min(kWidestRow, kTallestRoll / rows());
    tick_width_ = (kWidth - 2 * kMargin - kKeyboard) / (static_cast<double>(bar_) * per_system_);
  }

  std::string draw() {
    const int systems = (bars_ + per_system_ - 1) / per_system_;
    const double system_height = kChordHeight + rows() * row_ + kBarNumbers;
    const double height = kHeader + systems * system_height + kMargin / 2;
    svg_.rectangle(0, 0, kWidth, height, "#ffffff");
    draw_header();
    for (int system = 0; system < systems; ++system) {
      first_ = system * per_system_ * bar_;
      last_ = std::min(bars_, (system + 1) * per_system_) * bar_;
      top_ = kHeader + system * system_height + kChordHeight;
      draw_paper();
      draw_keyboard();
      draw_bars();
      draw_chords();
      draw_notes();
    }
    return svg_.document_in("Helvetica, Arial, sans-serif", kWidth, height);
  }

 private:
  int rows() const { return high_ - low_ + 1; }
  double x(int tick) const { return kMargin + kKeyboard + (tick - first_) * tick_width_; }
  double y(int pitch) const { return top_ + (high_ - pitch) * row_; }

  void vertical(double left, double width, std::string_view colour) {
    svg_.line(left, top_, left, top_ + rows() * row_, colour, width);
  }

  void draw_header() {
    svg_.text(kMargin, 34, tune_.title, {.size = 22, .bold = true});
    std::string line = tune_.form;
    if (tune_.key.tonic != kNoRoot)
      line += fmt::format("{}key {}", line.empty() ? "" : ", ", print_key(tune_.key));
    line += fmt::format("{}{}/{}, {:.0f} quarter notes per minute", line.empty() ? "" : ", ",
                        tune_.beats_per_bar, tune_.beat_unit, tune_.tempo);
    svg_.text(kMargin, 56, line, {.size = 13, .colour = kGrey});
    double left = kWidth - kMargin - 300;
    auto entry = [&](std::string_view colour, std::string_view name, double width) {
      svg_.rectangle(left, 24, 18, 9, colour, " rx=\"2\"");
      svg_.text(left + 24, 33, name, {.size = 13, .colour = kGrey});
      left += width;
    };
    entry(kChordTone, "chord tone", 108);
    entry(kOtherTone, "other tone", 106);
    entry(kNoChord, "no chord", 86);
  }

  void draw_paper() {
    for (int pitch = low_; pitch <= high_; ++pitch) {
      svg_.rectangle(x(first_), y(pitch), x(last_) - x(first_), row_,
                     is_black((pitch + 12) % 12) ? "#eef0f3" : "#fafbfc");
      if ((pitch + 12) % 12 != 0) continue;
      svg_.line(x(first_), y(pitch) + row_, x(last_), y(pitch) + row_, "#c9ced6", 0.8);
    }
  }

  void draw_keyboard() {
    for (int pitch = low_; pitch <= high_; ++pitch) {
      const bool black = is_black((pitch + 12) % 12);
      svg_.rectangle(kMargin, y(pitch), kKeyboard - 4, row_, "#ffffff",
                     " stroke=\"#aeb4bd\" stroke-width=\"0.5\"");
      if (black) svg_.rectangle(kMargin, y(pitch), (kKeyboard - 4) * 0.6, row_, "#2b2f36");
      if ((pitch + 12) % 12 == 0) {
        svg_.text(kMargin + kKeyboard - 7, y(pitch) + row_ - 1.2, print_pitch(pitch),
                  {.size = std::min(row_, 8.5), .colour = kGrey, .anchor = Svg::Anchor::end});
      }
    }
  }

  void draw_bars() {
    const int beat = std::max(1, 4 * kTicksPerQuarter / tune_.beat_unit);
    for (int bar = first_; bar < last_; bar += bar_) {
      for (int tick = bar + beat; tick < bar + bar_; tick += beat)
        vertical(x(tick), 0.6, "#d3d7de");
      vertical(x(bar), 1.4, "#7d838c");
      svg_.text(x(bar) + 3, top_ + rows() * row_ + 14, fmt::format("bar {}", bar / bar_ + 1),
                {.size = 11, .colour = "#7d838c"});
    }
    vertical(x(last_), last_ == bars_ * bar_ ? 3 : 1.4, "#7d838c");
  }

  void draw_chords() {
    const bool any = std::any_of(tune_.chords.begin(), tune_.chords.end(), [](const ChordSpan& s) {
      return s.chord.quality != Quality::none;
    });
    if (!any) return;
    for (const ChordSpan& span : tune_.chords) {
      if (span.start < first_ || span.start >= last_) continue;
      svg_.text(x(span.start) + 3, top_ - 7, print_chord(span.chord), {.size = 15, .bold = true});
    }
  }

  void draw_notes() {
    for (const Note& note : tune_.notes) {
      const int begin = std::max(note.start, first_);
      const int end = std::min(note.start + note.length, last_);
      if (begin >= end) continue;
      const Chord chord = chord_at(tune_, note.start);
      std::string_view colour = is_chord_tone(chord, note.pitch) ? kChordTone : kOtherTone;
      if (chord.quality == Quality::none) colour = kNoChord;
      const double opacity = 0.6 + 0.4 * std::clamp(note.velocity, 0, 100) / 100.0;
      const double width = std::max(1.5, (end - begin) * tick_width_ - 1);
      svg_.rectangle(
          x(begin) + 0.5, y(note.pitch) + 0.4, width, row_ - 0.8, colour,
          fmt::format(" rx=\"{:.1f}\" fill-opacity=\"{:.2f}\"", std::min(2.5, row_ / 3), opacity));
    }
  }

  const Tune& tune_;
  int bar_;
  int bars_;
  int per_system_;
  int low_;
  int high_;
  double row_;
  double tick_width_;
  int first_ = 0;  // ticks where the current system begins
  int last_ = 0;
  double top_ = 0;  // top of its roll
  Svg svg_{Svg::Digits::two_decimals};
};

}  // namespace

std::string piano_roll_svg(const Tune& tune) {
  constexpr int kMostBars = 2000;
  if (bars_of(tune) > kMostBars) {
    throw std::invalid_argument(
        fmt::format("piano_roll \"{}\": {} bars, expected at most {}; draw "
                    "a part of it",
                    tune.title, bars_of(tune), kMostBars));
  }
  return Picture(tune).draw();
}

void write_piano_roll(const Tune& tune, const std::filesystem::path& path) {
  tapeloop::write_file(path, piano_roll_svg(tune));
}

}  // namespace jazz
