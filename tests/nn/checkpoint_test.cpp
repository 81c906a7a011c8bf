// SPDX-License-Identifier: MIT
// Saved weights and checkpoints: loaded values, files that do not fit a model, and damage that must
// be found. safetensors_test.cpp tests the file format itself.
#include "tapeloop/nn/save/checkpoint.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tapeloop/autograd/files/safetensors.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/nn/save/serialize.h"
#include "tests/folder.h"
#include "tests/messages.h"

namespace fs = std::filesystem;
using tapeloop::DType;
using tapeloop::ParameterList;
using tapeloop::Random;
using tapeloop::StateDict;
using tapeloop::Tensor;
using tapeloop::nn::Checkpoint;
using tapeloop::test::bytes_of;
using tapeloop::test::Folder;
using tapeloop::test::put;

using tapeloop::test::contains, tapeloop::test::kNothingThrown, tapeloop::test::message_of;

namespace {

ParameterList model(DType dtype = DType::float32) {
  return {{"weight", tapeloop::parameter(Tensor::full({2, 3}, 1, dtype))},
          {"bias", tapeloop::parameter(Tensor::full({2}, 2, dtype))}};
}

std::vector<float> values(const ParameterList& parameters, std::size_t index) {
  return parameters[index].var.value().to_vector<float>();
}

Checkpoint sample() {
  Random batches(0xfedcba9876543210u);
  batches.take(7);
  return {.sections = {{"model",
                        {{"weight", Tensor::from<float>({2, 2}, {1, 2, 3, 4})},
                         {"deep.bias", Tensor::from<double>({1}, {0.1})}}},
                       {"optimizer", {{"step.weight", Tensor::from<std::int64_t>({}, {12})}}},
                       {"averages", {}}},
          .randoms = {{"random", Random(3)}, {"layers.0.dropout", Random(4)}, {"batches", batches}},
          .step = -5,
          .notes = {{"hidden", "256"}, {"text", "Gr\xC3\xBCn, \"quoted\"\n"}, {"", ""}}};
}

}  // namespace

TEST_CASE("a checkpoint that is loaded as weights is called one") {
  Folder folder;
  tapeloop::nn::save_checkpoint(folder.file(), sample());
  std::string said;
  try {
    tapeloop::nn::load(folder.file(), model());
  } catch (const tapeloop::Error& error) {
    said = error.what();
  }
  CHECK(contains(said, "does not fit the model, and nothing was changed"));
  CHECK(contains(said, "It is a checkpoint: read it by read_checkpoint()"));
}

TEST_CASE("weights are saved for PyTorch and assigned by name, whatever their order") {
  Folder folder;
  tapeloop::nn::save(folder.file(), {{"bias", Tensor::from<float>({2}, {7, 8})},
                                     {"weight", Tensor::from<float>({2, 3}, {1, 2, 3, 4, 5, 6})}});
  CHECK(tapeloop::read_safetensors(folder.file()).metadata == tapeloop::Metadata{{"format", "pt"}});
  const ParameterList parameters = model();
  const Tensor handle = parameters[0].var.value();
  tapeloop::nn::assign(parameters, tapeloop::nn::load(folder.file()), folder.file());
  CHECK(values(parameters, 0) == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK(values(parameters, 1) == std::vector<float>{7, 8});
  CHECK(handle.at({1, 2}) == 6);  // loaded in place: all handles see the new weights
  CHECK(parameters[0].var.is_parameter());
}

TEST_CASE("float32 and float64 are converted into the model's type") {
  const ParameterList parameters = model(DType::float64);
  tapeloop::nn::assign(
      parameters, {{"weight", Tensor::full({2, 3}, 0.5)}, {"bias", Tensor::full({2}, 0.25)}}, "x");
  CHECK(parameters[0].var.dtype() == DType::float64);
  CHECK(values(parameters, 0)[5] == 0.5f);
  const ParameterList narrow = model();
  tapeloop::nn::assign(narrow,
                       {{"weight", Tensor::full({2, 3}, 0.1, DType::float64)},
                        {"bias", Tensor::full({2}, 3, DType::float64).flip(0)}},
                       "x");
  CHECK(narrow[0].var.dtype() == DType::float32);
  CHECK(values(narrow, 0)[0] == 0.1f);
}

TEST_CASE("everything that does not fit is listed in one error, and nothing is changed") {
  const ParameterList parameters = model();
  ParameterList larger = parameters;
  larger.push_back({"extra.bias", tapeloop::parameter(Tensor::zeros({4}))});
  const std::string message = message_of<tapeloop::Error>([&] {
    tapeloop::nn::assign(larger,
                         {{"weight", Tensor::full({3, 2}, 9)},
                          {"bias", Tensor::full({2}, 9)},
                          {"old\n", Tensor::full({5}, 9)}},
                         "char.safetensors");
  });
  CHECK(contains(message, "char.safetensors does not fit the model, and nothing was changed"));
  CHECK(contains(message,
                 "\"weight\" is float32[3, 2] in the saved state, float32[2, 3] in the model"));
  CHECK(contains(message, "\"extra.bias\" float32[4] is missing in the saved state"));
  CHECK(contains(message, "\"old\\n\" float32[5] is not in the model"));
  CHECK_FALSE(contains(message, "\"bias\""));
  CHECK(values(parameters, 0) == std::vector<float>(6, 1));
  CHECK(values(parameters, 1) == std::vector<float>(2, 2));

  const Tensor weight = Tensor::full({2, 3}, 9);
  const auto assign = [&](const ParameterList& to, const StateDict& from) {
    return message_of<tapeloop::Error>([&] { tapeloop::nn::assign(to, from, "x"); });
  };
  CHECK(
      contains(assign(parameters, {{"weight", weight}, {"bias", Tensor::zeros({2}, DType::int64)}}),
               "\"bias\" is int64[2] in the saved state, float32[2] in the model"));
  CHECK(contains(assign(parameters, {{"weight", weight}, {"bias", Tensor()}}),
                 "\"bias\" is an undefined tensor in the saved state"));
  CHECK(contains(assign({parameters[0], parameters[0]}, {{"weight", weight}}),
                 "\"weight\" is the name of two parameters"));
  CHECK(contains(assign({parameters[0]}, {{"weight", weight}, {"weight", weight}}),
                 "\"weight\" is twice in the saved state"));
  CHECK(values(parameters, 0) == std::vector<float>(6, 1));
}

TEST_CASE("two parameters can swap their values") {
  const ParameterList parameters = {{"a", tapeloop::parameter(Tensor::full({2}, 1))},
                                    {"b", tapeloop::parameter(Tensor::full({2}, 2))}};
  tapeloop::nn::assign(parameters,
                       {{"a", parameters[1].var.value()}, {"b", parameters[0].var.value()}}, "x");
  CHECK(values(parameters, 0) == std::vector<float>{2, 2});
  CHECK(values(parameters, 1) == std::vector<float>{1, 1});
}

TEST_CASE("a checkpoint comes back whole: sections, random states, step and notes") {
  Folder folder;
  const Checkpoint before = sample();
  tapeloop::nn::save_checkpoint(folder.file(), before);
  Checkpoint after = tapeloop::nn::read_checkpoint(folder.file());
  CHECK(after.step == -5);
  CHECK(after.notes == before.notes);
  CHECK(after.randoms == before.randoms);
  CHECK(after.random("batches").seed == 0xfedcba9876543210u);
  CHECK(after.random("batches").next == 8);
  REQUIRE(after.sections.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(after.sections[i].first == before.sections[i].first);
    CHECK(after.sections[i].second.size() == before.sections[i].second.size());
  }
  const StateDict& state = after.section("model");
  CHECK(state[0].name == "deep.bias");  // the file's order: large elements first
  CHECK(state[0].tensor.at({0}) == 0.1);
  CHECK(state[1].name == "weight");
  CHECK(state[1].tensor.to_vector<float>() == std::vector<float>{1, 2, 3, 4});
  CHECK(after.section("optimizer")[0].tensor.item() == 12);
  // After reading and writing, the file is the same.
  const std::string bytes = bytes_of(folder.file());
  tapeloop::nn::save_checkpoint(folder.file(), after);
  CHECK(bytes_of(folder.file()) == bytes);
}

TEST_CASE("an empty checkpoint is one too") {
  Folder folder;
  tapeloop::nn::save_checkpoint(folder.file(), {.step = 3});
  const Checkpoint after = tapeloop::nn::read_checkpoint(folder.file());
  CHECK(after.step == 3);
  CHECK(after.sections.empty());
  CHECK(after.randoms.empty());
}

TEST_CASE("a run that was saved in the middle goes on with the same random numbers") {
  Folder folder;
  Random random(11);
  for (int i = 0; i < 5; ++i) random.uniform();
  tapeloop::nn::save_checkpoint(folder.file(), {.randoms = {{"data", random}}});
  Random resumed = tapeloop::nn::read_checkpoint(folder.file()).random("data");
  for (int i = 0; i < 5; ++i) CHECK(resumed.uniform() == random.uniform());
}

TEST_CASE("a part that is not there is an error that lists those there are") {
  const Checkpoint checkpoint = sample();
  CHECK(contains(message_of<tapeloop::Error>([&] { checkpoint.section("modell"); }),
                 "no section \"modell\"; it has: model, optimizer, averages"));
  CHECK(contains(message_of<tapeloop::Error>([&] { checkpoint.random("x"); }),
                 "no random state \"x\"; it has: random, layers.0.dropout, batches"));
  CHECK(contains(message_of<tapeloop::Error>([&] { Checkpoint().section("x"); }), "it has: none"));
}

TEST_CASE("settings that differ from the saved ones are all listed") {
  const Checkpoint checkpoint{.notes = {{"hidden", "256"}, {"layers", "2"}, {"cell", "lstm"}}};
  tapeloop::nn::check_settings(checkpoint, checkpoint.notes, "x");
  const std::string message = message_of<tapeloop::Error>([&] {
    tapeloop::nn::check_settings(
        checkpoint, {{"hidden", "128"}, {"cell", "lstm"}, {"dropout", "0.1"}}, "run.safetensors");
  });
  CHECK(contains(message, "run.safetensors was saved with other settings"));
  CHECK(contains(message, "hidden: \"128\" now, \"256\" saved"));
  CHECK(contains(message, "dropout: \"0.1\" now, not saved"));
  CHECK(contains(message, "layers: not set now, \"2\" saved"));
  CHECK_FALSE(contains(message, "cell"));
}

TEST_CASE("names that a checkpoint cannot hold are refused, and the old file stays") {
  Folder folder;
  put(folder.file(), "old");
  const auto save = [&](const Checkpoint& checkpoint) {
    return message_of<tapeloop::Error>(
        [&] { tapeloop::nn::save_checkpoint(folder.file(), checkpoint); });
  };
  for (const char* name : {"", "a.b", "a,b", "random", "\xff"}) {
    CHECK(
        contains(save({.sections = {{name, {}}}}), "cannot be the name of a section; use letters"));
  }
  CHECK(contains(save({.randoms = {{"a b", Random()}}}), "cannot be the name of a random state"));
  CHECK(contains(save({.sections = {{"a", {}}, {"a", {}}}}), "two sections \"a\""));
  CHECK(contains(save({.randoms = {{"a", Random()}, {"a", Random()}}}), "two random states \"a\""));
  CHECK(contains(save({.sections = {{"a", {{"x", Tensor()}}}}}), "\"a.x\" is an undefined tensor"));
  CHECK(contains(save({.notes = {{"a", "\xff"}}}), "not valid UTF-8"));
  CHECK(bytes_of(folder.file()) == "old");
}

TEST_CASE(
    "a file of weights and a checkpoint of a later version are told apart from a checkpoint") {
  Folder folder;
  const auto read = [&] {
    return message_of<tapeloop::FileError>([&] { tapeloop::nn::read_checkpoint(folder.file()); });
  };
  tapeloop::nn::save(folder.file(), {{"weight", Tensor::zeros({2})}});
  CHECK(contains(read(), "no checkpoint"));
  CHECK(contains(read(), "load()"));
  tapeloop::write_safetensors(folder.file(), {}, {{"tapeloop.checkpoint", "2"}});
  CHECK(contains(read(), "format version \"2\""));
  CHECK(contains(read(), "reads version 1"));
  tapeloop::write_safetensors(folder.file(), {}, {{"tapeloop.checkpoint", "1"}});
  CHECK(contains(read(), "no \"tapeloop.checksum\""));
}

TEST_CASE(
    "a checkpoint that was edited is damaged: tensors renamed, left out or added, notes changed") {
  Folder folder;
  tapeloop::nn::save_checkpoint(folder.file(), sample());
  const tapeloop::TensorFile good = tapeloop::read_safetensors(folder.file());
  const auto read = [&](const tapeloop::TensorFile& file) {
    tapeloop::write_safetensors(folder.file(), file.tensors, file.metadata);
    return message_of<tapeloop::FileError>([&] { tapeloop::nn::read_checkpoint(folder.file()); });
  };
  CHECK(read(good) == kNothingThrown);
  tapeloop::TensorFile file = good;
  file.metadata["note.hidden"] = "512";
  CHECK(contains(read(file), "the metadata of this checkpoint is damaged"));
  file = good;
  file.tensors.pop_back();
  CHECK(contains(read(file), "is missing"));
  file = good;
  file.tensors.push_back({"model.more", Tensor::zeros({1})});
  CHECK(contains(read(file), "\"checksum.model.more\""));
  file = good;
  for (auto& item : file.tensors) {
    if (item.name == "model.weight") item.tensor = item.tensor.reshape({4});
  }
  CHECK(contains(read(file), "tensor \"model.weight\" is damaged"));
}

TEST_CASE(
    "every single flipped bit of a checkpoint is found, and in the data the tensor is named") {
  Folder folder;
  tapeloop::nn::save_checkpoint(folder.file(), sample());
  const std::string whole = bytes_of(folder.file());
  const auto weight = whole.find(std::string("\0\0\x80\x3f\0\0\0\x40", 8));  // 1.0f, 2.0f
  REQUIRE(weight != std::string::npos);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      put(folder.file(), bytes);
      const std::string message =
          message_of<tapeloop::FileError>([&] { tapeloop::nn::read_checkpoint(folder.file()); });
      CAPTURE(i);
      CAPTURE(bit);
      CHECK(message.starts_with(folder.file() + ": "));
      if (i >= weight && i < weight + 16)
        CHECK(contains(message, "tensor \"model.weight\" is damaged"));
    }
  }
}
