// SPDX-License-Identifier: MIT
// The report of gpu-check as JSON, which holds every figure, and as Markdown, for people. Runs nothing.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace gpu_check {

using Json = nlohmann::ordered_json;

// The least of a row's figures {variant: seconds}; 0 where there are none.
double least(const Json& medians);

// What was aimed at, from the rows: [{target, reached, met}]; without figures it is not met, and says so.
Json targets_of(const Json& rows);

// {about, tests, sanitizers, rows, targets, missing} as tables.
std::string markdown(const Json& report);

// "2026-11-21-nvidia-h200" of a date and the GPU's name.
std::string file_name(const std::string& date, const std::string& gpu);

// A file is the old one or the whole new one. Throws std::runtime_error with the system's reason.
void write_file(const std::string& path, const std::string& text);

}  // namespace gpu_check
