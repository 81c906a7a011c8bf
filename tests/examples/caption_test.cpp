// SPDX-License-Identifier: MIT
// caption: lists of images, drawn scenes, batches of captions of different lengths, and the model
// against the reference and against its own single steps.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "examples/caption/model.h"
#include "examples/caption/pictures.h"
#include "examples/caption/scenes.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tests/folder.h"
#include "tests/messages.h"

using namespace caption;
using tapeloop::FileError;
using tapeloop::Random;
using tapeloop::test::check_contains;
using tapeloop::test::Folder;
using tapeloop::test::message_of;
using tapeloop::test::put;
namespace nn = tapeloop::nn;

namespace {

// Two images of 4 x 4 pixels: all 10, then 0 to 15.
void put_digits(const Folder& folder, const std::string& name = "images-idx3-ubyte") {
  std::string bytes("\0\0\x08\x03\0\0\0\2\0\0\0\4\0\0\0\4", 16);
  bytes += std::string(16, 10);
  for (int i = 0; i < 16; ++i) bytes += static_cast<char>(i);
  put(folder.file(name), bytes);
}

Captioner small_model(bool attention) {
  Random random(3);
  return Captioner({.size = 16,
                    .channels = 1,
                    .vocabulary = 7,
                    .hidden = 5,
                    .embedding = 4,
                    .attention = attention,
                    .penalty = 0.5},
                   random);
}

}  // namespace

TEST_CASE("caption: scenes of digits by a list") {
  const Folder folder;
  put_digits(folder);
  put(folder.file("list.tsv"),
      "horizontal\t0\t1\ta left of b\nsingle\t1\t-1\ta b\r\nvertical\t1\t0\t\nvertical\t1\t0\tx\n"
      "single\t1\n");
  const Scenes scenes = read_scenes(folder.path.string(), {});
  CHECK(scenes.count() == 3);
  CHECK(scenes.size == 8);
  CHECK(scenes.skipped.at("without a caption") == 1);
  CHECK(scenes.skipped.at("without 4 columns") == 1);
  CHECK(scenes.captions[0] == Tokens{"a", "left", "of", "b"});
  const common::Image beside = scenes.image(0), alone = scenes.image(1), above = scenes.image(2);
  CHECK(beside.at(2, 0) == 10);
  CHECK(beside.at(5, 7) == 15);
  CHECK(beside.at(0, 0) == 0);
  CHECK(alone.at(2, 2) == 0);
  CHECK(alone.at(3, 2) == 4);
  CHECK(above.at(1, 2) == 4);
  CHECK(above.at(4, 2) == 10);
}

TEST_CASE("caption: a list of image files, some of them unreadable or of another size") {
  const Folder folder;
  put(folder.file("a.pgm"), "P2 2 2 255 0 100 200 255");
  put(folder.file("b.ppm"), "P3 1 1 255 255 0 0");
  put(folder.file("c.png"), "\x89PNG\r\n\x1a\nbroken");
  put(folder.file("captions.tsv"),
      "a.pgm\ta  dark\timage\n"
      "a.pgm\ta dark image\nb.ppm\tred\nc.png\tbroken\nabsent.png\tabsent\nb.ppm\t \n");
  // The first line has three columns: this is no list.
  check_contains(message_of<FileError>([&] { read_scenes(folder.path.string(), {}); }),
                 "has no such list; expected a file *.tsv with lines of `image file TAB caption`");
  check_contains(message_of<FileError>([&] { read_scenes(folder.file("captions.tsv"), {}); }),
                 "line 1: expected `image file TAB caption`");
  put(folder.file("captions.tsv"),
      "a.pgm\ta dark image\nb.ppm\tred\nc.png\tbroken\nabsent.png\tabsent\nb.ppm\t \n");
  const Scenes scenes = read_scenes(folder.path.string(), {.size = 2});
  CHECK(scenes.count() == 2);
  CHECK(scenes.channels == 3);
  CHECK(scenes.resized == 1);
  CHECK(scenes.rows[1] == std::vector<std::uint8_t>{255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0});
  CHECK(scenes.skipped.at("without a caption") == 1);
  CHECK(std::any_of(scenes.skipped.begin(), scenes.skipped.end(), [](const auto& one) {
    return one.second == 2 &&
           one.first.find("whose image cannot be read, first: ") != std::string::npos &&
           one.first.find("c.png: this PNG is damaged") != std::string::npos;
  }));
  CHECK(read_scenes(folder.path.string(), {.size = 2, .channels = 1}).channels == 1);
}

TEST_CASE("caption: of two lists and two sets of digits, the larger or the smaller") {
  const Folder folder;
  put_digits(folder, "part-images-idx3-ubyte");
  std::string one("\0\0\x08\x03\0\0\0\1\0\0\0\4\0\0\0\4", 16);
  put(folder.file("x-images-idx3-ubyte"), one + std::string(16, 1));
  put(folder.file("z.tsv"), "single\t1\t-1\ta\nsingle\t0\t-1\tb\n");
  put(folder.file("a.tsv"), "single\t0\t-1\tc\n");
  CHECK(read_scenes(folder.path.string(), {}).count() == 2);
  const Scenes test = read_scenes(folder.path.string(), {.smaller = true});
  CHECK(test.captions == std::vector<Tokens>{{"c"}});
  CHECK(test.image(0).at(3, 3) == 1);
}

TEST_CASE("caption: what cannot be read is named") {
  const Folder folder;
  put(folder.file("list.tsv"), "single\t0\t-1\ta\n");
  const auto message = [&] {
    return message_of<FileError>([&] { read_scenes(folder.path.string(), {}); });
  };
  check_contains(message(), "has no file *images-idx3-ubyte or *images-idx3-ubyte.gz");
  put_digits(folder);
  put(folder.file("list.tsv"), "single\t0\t-1\ta\nhorizontal\t0\t2\tb\n");
  check_contains(message(), "line 2: the index is 2, expected one of the 2 images beside it");
  put(folder.file("list.tsv"), "single\t0\t-1\ta\ndiagonal\t0\t1\tb\n");
  check_contains(message(), "line 2: the layout is diagonal, expected single, horizontal or");
  put(folder.file("list.tsv"), "single\t0\t-1\t \n");
  check_contains(message(), "has no line with an image and a caption");
}

TEST_CASE("caption: drawn scenes say what is on them, and are the same each time") {
  Random random(1), again(1);
  const Scenes scenes = draw_scenes(300, random);
  CHECK(scenes.size == 40);
  CHECK(scenes.rows == draw_scenes(300, again).rows);
  std::set<std::string> words;
  for (const Tokens& caption : scenes.captions) words.insert(caption.begin(), caption.end());
  for (const char* word : {"an", "above", "left", "side", "stacked", "two", "nine"})
    CHECK(words.count(word) == 1);
  for (std::int64_t i = 0; i < scenes.count(); ++i) {
    const Tokens& caption = scenes.captions[static_cast<std::size_t>(i)];
    const bool above = std::find(caption.begin(), caption.end(), "above") != caption.end();
    const bool left = std::find(caption.begin(), caption.end(), "left") != caption.end();
    // The middle of the upper edge is a digit's only if one stands above another.
    std::int64_t top = 0, side = 0;
    for (std::int64_t k = 0; k < 10; ++k) {
      for (std::int64_t c = 0; c < 40; ++c) {
        top += scenes.image(i).at(k, c);
        side += scenes.image(i).at(c, k);
      }
    }
    if (above) CHECK(side == 0);
    if (left) CHECK(top == 0);
  }
}

TEST_CASE("caption: a batch has START, words, END, and nothing behind it") {
  Scenes scenes;
  scenes.size = 1;
  scenes.rows = {{255}, {0}};
  scenes.captions = {{"a", "b"}, {"b"}};
  const Vocabulary words(scenes.captions);
  CHECK(words.size() == 4);
  CHECK(words.longest() == 2);
  CHECK_FALSE(words.has("c"));
  CHECK(words.words({3, 2}) == Tokens{"b", "a"});
  const Batch batch = batch_of(scenes, words, {0, 1});
  CHECK(batch.symbols.to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{kStart, kStart, 2, 3, 3, kEnd});
  CHECK(batch.targets.to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{2, 3, 3, kEnd, kEnd, kNone});
  CHECK(batch.within.to_vector<float>() == std::vector<float>{1, 1, 1, 1, 1, 0});
  CHECK(batch.images.to_vector<float>() == std::vector<float>{1, 0});
}

TEST_CASE("caption: single steps give the logits of teacher forcing") {
  for (const bool attention : {false, true}) {
    CAPTURE(attention);
    const Captioner model = small_model(attention);
    Random random(5);
    const Var images(tapeloop::random_uniform({3, 1, 16, 16}, 0, 1, random));
    const Tensor symbols =
        Tensor::from({3, 3}, std::vector<std::int64_t>{0, 0, 0, 2, 3, 4, 5, 6, 2});
    const Captioner::Result whole = model(images, symbols);
    Encoded encoded = model.encode(images);
    for (std::int64_t t = 0; t < 3; ++t) {
      const auto one = model.step(symbols.select(0, t), encoded.state, encoded.source);
      const auto expected = whole.logits.value().select(0, t).to_vector<double>();
      const auto found = one.logits.value().to_vector<double>();
      for (std::size_t i = 0; i < found.size(); ++i)
        CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-5));
    }
  }
}

TEST_CASE("caption: the penalty counts real steps, and beams share one image") {
  const Captioner model = small_model(true);
  Random random(5);
  const Var images(tapeloop::random_uniform({2, 1, 16, 16}, 0, 1, random));
  const Tensor symbols = Tensor::from({2, 2}, std::vector<std::int64_t>{0, 0, 2, 1});
  const Tensor targets = Tensor::from({2, 2}, std::vector<std::int64_t>{2, 1, 1, kNone});
  const Tensor within = Tensor::from({2, 2, 1}, std::vector<float>{1, 1, 1, 0});
  const Captioner::Result result = model(images, symbols);
  const auto alpha = result.weights.value().to_vector<double>();
  double penalty = 0;
  for (std::size_t n = 0; n < 2; ++n) {
    for (std::size_t l = 0; l < 4; ++l) {
      const double seen = alpha[n * 4 + l] + (n == 0 ? alpha[8 + n * 4 + l] : 0);
      penalty += (1 - seen) * (1 - seen);
    }
  }
  const double words =
      tapeloop::cross_entropy(result.logits, targets, {.ignore_index = kNone}).item();
  CHECK(model.loss(result, targets, within).item() ==
        doctest::Approx(words + 0.5 * penalty / 2).epsilon(1e-5));

  nn::BeamOptions options;
  options.start = kStart, options.end = kEnd, options.beams = 3, options.max_length = 4;
  CaptionSearch both(model, model.encode(images));
  CaptionSearch second(model, model.encode(slice(images, 0, 1, 2)));
  const auto of_both = nn::beam_search(both, options);
  const auto alone = nn::beam_search(second, options);
  CHECK(of_both[1][0].symbols == alone[0][0].symbols);
  CHECK(of_both[1][0].weights.dim(1) == 4);
}

TEST_CASE("caption: the page has an image for each scene, and a map for each word and END") {
  Random random(1);
  const Scenes scenes = draw_scenes(2, random);
  const Tensor weights = Tensor::full({3, 25}, 0.04);
  const std::string page =
      page_of(scenes, {{0, {"a", "<b>"}, {"a", "c"}, weights}, {1, {"d"}, {"d"}, {}}}, 5);
  std::size_t images = 0;
  for (std::size_t at = 0; (at = page.find("<image", at)) != std::string::npos; ++at) ++images;
  CHECK(images == 5);
  check_contains(page, "a &lt;b&gt;");
  check_contains(page, "is: a c");
}
