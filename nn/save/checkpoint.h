// SPDX-License-Identifier: MIT
// A training run in one file: weights, optimizer state, random state, step and settings, to go on from bit for bit.
// For weights alone, also those from Python, see serialize.h. The settings are only kept, not applied.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tape/named.h"

namespace tapeloop::nn {

struct Checkpoint {
  std::vector<std::pair<std::string, StateDict>> sections = {};  // {"model", ...}, ...
  std::vector<std::pair<std::string, Random>> randoms = {};      // {"batches", ...}
  std::int64_t step = 0;
  std::map<std::string, std::string> notes = {};  // settings: {"hidden", "256"}

  // The part of this name; throws Error that lists the names there are.
  const StateDict& section(const std::string& name) const;
  const Random& random(const std::string& name) const;
};

// Saving and going on:
//   save_checkpoint(path, {.sections = {{"model", state_dict(model)}, {"optimizer", optimizer.state_dict()}},
//                          .randoms = {{"batches", random}}, .step = step, .notes = settings});
//   Checkpoint saved = read_checkpoint(path);
//   check_settings(saved, settings, path);
//   load_state_dict(model, saved.section("model"), path);
//   optimizer.load_state_dict(saved.section("optimizer"));
//
// The file is a safetensors file: tensors "SECTION.NAME" and "random.NAME", the rest as metadata,
// with a checksum of each tensor and one of the metadata. It replaces an older one as a whole or not
// at all. Names of sections are made of letters, digits, '_' and '-', those of random states also
// of '.'. Throws Error for bad or repeated names, FileError for the disk. Cost: two passes over the
// values, and a wait until the disk has them.
void save_checkpoint(const std::string& path, const Checkpoint& checkpoint);

// Tensors of a section come in the file's order, not as they were given. Throws FileError if the file is no
// checkpoint, is of a format version unknown here, or if any bit changed: the message names the damaged tensor.
Checkpoint read_checkpoint(const std::string& path);

// Throws one Error that lists every setting that the checkpoint does not have, or has with another value, and every
// one that it has in addition. `what` says in the message which checkpoint that is.
void check_settings(const Checkpoint& checkpoint,
                    const std::map<std::string, std::string>& settings, const std::string& what);

}  // namespace tapeloop::nn
