// SPDX-License-Identifier: MIT
// A training run in one file: weights, optimizer state, random state, step and settings, so that
// training continues bit for bit. For weights alone, also from Python, see serialize.h. Loading
// does not apply the settings.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tapeloop/autograd/number/random.h"
#include "tapeloop/autograd/tape/named.h"

namespace tapeloop::nn {

// What a checkpoint file contains.
struct Checkpoint {
  std::vector<std::pair<std::string, StateDict>> sections = {};  // {"model", ...}, ...
  std::vector<std::pair<std::string, Random>> randoms = {};      // {"batches", ...}
  std::int64_t step = 0;                                         // as the caller counts it
  std::map<std::string, std::string> notes = {};                 // settings: {"hidden", "256"}

  // The section or random state with this name. Throws Error, which lists the existing names.
  const StateDict& section(const std::string& name) const;
  const Random& random(const std::string& name) const;
};

// To save and to continue:
//   save_checkpoint(path, {.sections = {{"model", state_dict(model)},
//                                       {"optimizer", optimizer.state_dict()}},
//                          .randoms = {{"batches", random}}, .step = step, .notes = settings});
//   Checkpoint saved = read_checkpoint(path);
//   check_settings(saved, settings, path);
//   load_state_dict(model, saved.section("model"), path);
//   optimizer.load_state_dict(saved.section("optimizer"));
//
// The file is a safetensors file: tensors "SECTION.NAME" and "random.NAME", the rest as metadata,
// with a checksum of each tensor and one of the metadata. An older file is replaced completely or
// not at all. Names of sections consist of letters, digits, '_' and '-', names of random states
// also of '.'. Throws Error for bad or repeated names, FileError for the disk. Cost: two passes
// over the values, and a wait until the disk has them.
void save_checkpoint(const std::string& path, const Checkpoint& checkpoint);

// Tensors of a section are in the order of the file, not in the order of saving. Throws FileError
// if the file is not a checkpoint, has an unknown format version, or if any bit changed; the
// message names a damaged tensor.
Checkpoint read_checkpoint(const std::string& path);

// Throws one Error that lists every setting that the checkpoint does not have, every one with
// another value, and every additional one. `what` names the checkpoint in the message.
void check_settings(const Checkpoint& checkpoint,
                    const std::map<std::string, std::string>& settings, const std::string& what);

}  // namespace tapeloop::nn
