// SPDX-License-Identifier: MIT
// The report of gpu-check: as JSON, which has every figure, and as Markdown, for people. Runs
// nothing.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace gpu_check {

using Json = nlohmann::ordered_json;

// The least of a row's figures {variant: seconds}; 0 if there are none.
double least(const Json& medians);

// Compares the rows with the targets: [{target, reached, met}]. A target without figures is not
// met, and `reached` says so.
Json targets_of(const Json& rows);

// {about, tests, sanitizers, rows, targets, missing} as tables.
std::string markdown(const Json& report);

// Makes "2026-11-21-nvidia-h200" from a date and the GPU's name.
std::string file_name(const std::string& date, const std::string& gpu);

// Replaces the file as a whole. Throws std::runtime_error with the system's reason.
void write_file(const std::string& path, const std::string& text);

}  // namespace gpu_check
