// SPDX-License-Identifier: MIT
// Checkpoints of a small run: model, optimizer, progress and the place among the batches. The
// target repairs checksums, because no mutation would find them. So the contents of a checkpoint
// are tested, not only its file.
#include "tapeloop/nn/save/checkpoint.h"

#include <algorithm>
#include <cstring>

#include "examples/common/training.h"
#include "examples/seq2seq/data/batches.h"
#include "tapeloop/autograd/autograd.h"
#include "tapeloop/autograd/files/safetensors.h"
#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"
#include "tapeloop/nn/save/serialize.h"
#include "tapeloop/optim/adam.h"
#include "tests/fuzz/targets.h"

namespace tapeloop::fuzz {
namespace {

// FNV-1a over "LENGTH:TEXT" of each text, as in the format. Written again here, so that a change of
// the format fails this test.
class Checksum {
 public:
  void text(std::string_view bytes) {
    add(std::to_string(bytes.size()) + ":");
    add(bytes);
  }
  void add(std::string_view bytes) {
    for (char byte : bytes) state_ = (state_ ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  }
  std::string str() const {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (int shift = 60; shift >= 0; shift -= 4) text += kDigits[state_ >> shift & 15];
    return text;
  }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325u;
};

constexpr const char* kMetadataSum = "tapeloop.checksum";

void mend(TensorFile& file) {
  std::erase_if(file.metadata,
                [](const auto& item) { return item.first.starts_with("checksum."); });
  file.metadata.erase(kMetadataSum);
  for (const auto& [name, tensor] : file.tensors) {
    Checksum sum;
    sum.text(name);
    sum.text(tensor.describe());
    sum.add({static_cast<const char*>(tensor.raw()),
             static_cast<std::size_t>(tensor.numel() * size_of(tensor.dtype()))});
    file.metadata["checksum." + name] = sum.str();
  }
  Checksum sum;
  for (const auto& [key, text] : file.metadata) {
    sum.text(key);
    sum.text(text);
  }
  file.metadata[kMetadataSum] = sum.str();
}

struct Run {
  ParameterList parameters = {{"weight", parameter(Tensor::from<float>({2, 2}, {1, 2, 3, 4}))},
                              {"bias", parameter(Tensor::from<float>({2}, {0.5, -0.5}))}};
  optim::Adam adam{parameters};
  common::History history;
  std::vector<seq2seq::Example> examples = {{{4}, {5}}, {{5, 6}, {6}}, {{6}, {4, 4}}};
  seq2seq::Batches batches{examples, 2, Random(3)};

  void step() {
    Tape tape;
    adam.zero_grad();
    const Var& weight = parameters[0].var;
    tape.backward(sum(weight * weight) + sum(parameters[1].var));
    const std::int64_t steps = adam.steps();
    adam.step();
    expect(adam.steps() > steps && steps >= 0, "the optimizer counts its steps");
    history.note_loss(1.5);
    expect(history.recent.size() <= 100, "the history keeps at most 100 losses");
    history.best_nats = 1.25;
    history.best_update = adam.steps();
    batches.next();
  }

  nn::Checkpoint checkpoint() const {
    StateDict model;
    for (const NamedVar& item : parameters) model.push_back({item.name, item.var.value().clone()});
    return {.sections = {{"model", model},
                         {"optimizer", adam.state_dict()},
                         {"history", history.state_dict()},
                         {"batches", batches.state_dict()}},
            .randoms = {{"batches", Random(3)}},
            .step = 2,
            .notes = {{"hidden", "2"}}};
  }
};

// True if both hold the same numbers. Those of `a` may have another type, which loading converts.
bool same(const StateDict& a, const StateDict& b) {
  if (a.size() != b.size()) return false;
  for (const NamedTensor& item : a) {
    const auto other = std::find_if(b.begin(), b.end(),
                                    [&](const NamedTensor& it) { return it.name == item.name; });
    if (other == b.end() || other->tensor.numel() != item.tensor.numel()) return false;
    const Tensor converted = item.tensor.to(other->tensor.dtype()).contiguous();
    const Tensor row = other->tensor.contiguous();
    const auto bytes = static_cast<std::size_t>(row.numel() * size_of(row.dtype()));
    if (bytes > 0 && std::memcmp(converted.raw(), row.raw(), bytes) != 0) return false;
  }
  return true;
}

// Loads one section. A refused section must change nothing. After an accepted one, the saved state
// must load again unchanged.
template <class Load, class Save>
StateDict put_back(const StateDict& section, const Load& load, const Save& save) {
  const StateDict before = save();
  try {
    load(section);
  } catch (const Error& error) {
    expect(!std::string_view(error.what()).empty(), "a refused section has a reason");
    expect(same(before, save()), "a refused section changes nothing");
    return section;
  }
  const StateDict after = save();
  load(after);
  expect(same(after, save()), "a section that was saved is loaded as it was");
  return after;
}

void go_on(const nn::Checkpoint& saved, const std::string& path) {
  Run run;
  run.step();
  const auto exactly = [](const StateDict& section, const StateDict& after) {
    expect(same(section, after), "a section is saved as it was loaded");
  };
  const StateDict& model = saved.section("model");
  exactly(model,
          put_back(
              model, [&](const StateDict& state) { nn::assign(run.parameters, state, path); },
              [&] { return run.checkpoint().section("model"); }));
  const StateDict& history = saved.section("history");
  exactly(history, put_back(
                       history, [&](const StateDict& state) { run.history.load_state_dict(state); },
                       [&] { return run.history.state_dict(); }));
  const StateDict& batches = saved.section("batches");
  exactly(batches, put_back(
                       batches, [&](const StateDict& state) { run.batches.load_state_dict(state); },
                       [&] { return run.batches.state_dict(); }));
  put_back(
      saved.section("optimizer"), [&](const StateDict& state) { run.adam.load_state_dict(state); },
      [&] { return run.adam.state_dict(); });
  run.step();
}

void try_file(const std::string& path) {
  nn::Checkpoint saved;
  try {
    saved = nn::read_checkpoint(path);
  } catch (const FileError& error) {
    expect_message(error, path);
    return;
  }
  const std::string again = scratch_file("again.safetensors");
  nn::save_checkpoint(again, saved);
  const nn::Checkpoint second = nn::read_checkpoint(again);
  expect(second.step == saved.step && second.notes == saved.notes &&
             second.randoms == saved.randoms && second.sections.size() == saved.sections.size(),
         "a checkpoint that was read is written and read again");
  for (const auto& [name, state] : saved.sections) {
    expect(same(state, second.section(name)), "every section is written and read again");
  }
  try {
    go_on(saved, path);
  } catch (const Error& error) {
    expect(std::string_view(error.what()).starts_with("checkpoint: "), "a section is not there");
  }
}

// Makes a safetensors file of "HEADER, zero byte, DATA", so that a mutation need not repair the
// length of the header.
std::string file_of(std::string_view bytes) {
  const std::size_t end = std::min(bytes.find('\0'), bytes.size());
  const std::uint64_t length = end;
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file.append(bytes.substr(0, end)).append(bytes.substr(std::min(end + 1, bytes.size())));
}

std::string without_length(const std::string& file) {
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  const std::size_t data = sizeof length + length;
  return file.substr(sizeof length, length) + '\0' + file.substr(data);
}

}  // namespace

void try_checkpoint(std::string_view bytes) {
  const std::string path = scratch_file("input.safetensors");
  put(path, file_of(bytes));
  try_file(path);
  TensorFile file;
  try {
    file = read_safetensors(path);
  } catch (const FileError&) {
    return;
  }
  mend(file);
  write_safetensors(path, file.tensors, file.metadata);
  try_file(path);
  file = {};
  memory::release_cached();  // so that the address sanitizer sees each block end
}

std::vector<std::string> checkpoint_seeds() {
  const std::string path = scratch_file("seed.safetensors");
  Run run;
  std::vector<std::string> seeds;
  for (int update = 0; update < 2; ++update) {
    run.step();
    nn::save_checkpoint(path, run.checkpoint());
    seeds.push_back(without_length(bytes_of(path)));
  }
  return seeds;
}

}  // namespace tapeloop::fuzz
