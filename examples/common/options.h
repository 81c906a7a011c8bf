// SPDX-License-Identifier: MIT
// The command line of an example: its options, those that every example takes, and the frame around
// a main(). It knows no option of a single example. Only options.cpp includes CLI11, because that
// header takes long to compile.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "examples/common/paths.h"
#include "examples/common/settings.h"
#include "tapeloop/autograd/tensor/shape.h"

namespace CLI {
class App;
}  // namespace CLI

namespace common {

// How a run uses the folder of --out.
enum class OutFolder {
  written,    // makes the folder if it is missing, and keeps other runs out
  continued,  // needs an existing folder, and keeps other runs out: --resume
  read,       // writes nothing there
};

struct CommonOptions {
  std::string out;         // folder for what the program writes
  std::string json;        // file for the final figures; empty: none
  std::uint64_t seed = 0;  // seeds everything random
  int threads = 1;
  tapeloop::Device device = tapeloop::Device::cpu;  // where the models are
  bool quick = false;                               // a run of a few seconds, for tests
  OutFolder folder = OutFolder::written;
  // What the user can do if another run is in that folder, besides waiting.
  std::string other_folder = "name another folder by --out";
  // Files other than --json that the program or its options name. fill_in() adds them.
  std::vector<NamedFile> reads, writes;
};

// For bad values that only the program itself can find, such as options that exclude each other.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws tapeloop::Error, with advice, if this program cannot use the device on this machine.
void need(tapeloop::Device device);

class CommandLine {
 public:
  // Begins with --out (default out/NAME), --json, --seed, --threads, --device and --quick.
  // `explanation` is the head of --help. The options must live as long as this object.
  CommandLine(CommonOptions& options, const std::string& name, const std::string& explanation);
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;
  ~CommandLine();

  // Declares options. A row without an option is left out. Options that a row excludes or needs
  // must be declared before it.
  void add(const Setting& row);
  void add(const SettingsTable& rows);
  const SettingsTable& rows() const { return rows_; }

  // Reads the arguments into the rows' variables. Returns false if --help is among them. Throws
  // UsageError for an unknown option or a bad value.
  bool parse(int argc, char** argv);
  bool given(const std::string& option) const;
  // If the user did not give the option, sets it to `value`, and --help shows that value.
  void preset(const std::string& option, const std::string& value);
  void preset(const std::string& option, double value);
  // Throws UsageError if the user gave an option that is not in `options`: it would have no effect
  // with `mode`, for example "--translate, which trains nothing".
  void check_effect(std::initializer_list<std::string_view> options, const std::string& mode) const;
  // Throws UsageError if the user gave a setting of the model another value than the checkpoint in
  // `path` has, from which the model is read.
  void check_model(const tapeloop::nn::Checkpoint& saved, const std::string& path) const;

  void hide(const std::string& option);      // leaves it out of --help
  void footer(const std::string& sentence);  // the end of --help
  std::string help() const;

  // Reads the command line and calls fill_in(), which completes values that depend on other options
  // and refuses options that exclude each other. Checks that no output file is another file of the
  // run too, and that the input files which options name exist. Sets the threads, makes the folder
  // of --out and locks it (run_lock.h), checks that --json can be written and that --device exists,
  // and calls body().
  // Returns the program's exit code. 0: success. 1, after "NAME: message" on stderr: body threw,
  // standard output lost something, or a checkpoint could not be saved. 2: the command line is
  // wrong. After Interrupted the process ends by that signal. --help prints the explanation with
  // the values of fill_in() and returns 0.
  int run(int argc, char** argv, const std::function<void()>& body,
          const std::function<void()>& fill_in = {});

 private:
  CommonOptions& common_;
  std::string name_;
  std::string device_ = "cpu";
  std::unique_ptr<CLI::App> app_;
  SettingsTable rows_;
};

}  // namespace common
