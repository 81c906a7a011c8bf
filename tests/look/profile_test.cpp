// SPDX-License-Identifier: MIT
// tape.profile() and tape.memory(): the counts, their places, and the trace file. Of times it
// checks only sums and order.
#include "tapeloop/autograd/look/profile.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tapeloop/autograd/tape/observer.h"
#include "tapeloop/nn/nn.h"
#include "tests/support.h"

using namespace tapeloop;
using namespace tapeloop::test;

namespace {

const ProfileRow* find(const ProfileReport& report, const std::string& scope,
                       const std::string& operation) {
  for (const ProfileRow& row : report.rows) {
    if (row.scope == scope && row.operation == operation) return &row;
  }
  return nullptr;
}

ProfileReport two_layers() {
  Random random(1);
  nn::Lstm lstm({.input = 3, .hidden = 4, .layers = 2, .bidirectional = true}, random);
  Tape tape({.measure = true});
  tape.backward(sum(lstm(Var(random_tensor({5, 2, 3}, kSeed, DType::float32))).ys));
  return tape.profile();
}

// Writes down its calls; throws in one of them.
class Listing final : public detail::Observer {
 public:
  Listing(std::string& calls, char name, const char* throws_in = "")
      : calls_(calls), name_(name), throws_in_(throws_in) {}
  void begin(std::size_t, detail::NodeWork) override { note("begin"); }
  void end(std::size_t, detail::NodeWork) override { note("end"); }
  void interrupted() noexcept override { calls_ += text_of("interrupted"); }

 private:
  std::string text_of(const std::string& call) const { return call + " " + name_ + "; "; }
  void note(const std::string& call) {
    if (call == throws_in_) throw std::bad_alloc();
    calls_ += text_of(call);
  }
  std::string& calls_;
  char name_;
  std::string throws_in_;
};

// The calls of two observers of a node, of which the second one throws.
std::string calls_of(const char* second_throws_in, bool node_throws = false) {
  std::string calls;
  detail::Observers observers;
  observers.push_back(std::make_unique<Listing>(calls, 'a'));
  observers.push_back(std::make_unique<Listing>(calls, 'b', second_throws_in));
  try {
    detail::observe_node(observers, 0, detail::NodeWork::backward, [&] {
      calls += "node; ";
      if (node_throws) throw std::bad_alloc();
    });
  } catch (const std::bad_alloc&) {
    calls += "thrown";
  }
  return calls;
}

}  // namespace

TEST_CASE("an error of a node or of an observer reaches the caller, and no observer stays begun") {
  CHECK(calls_of("") == "begin a; begin b; node; end b; end a; ");
  CHECK(calls_of("", true) == "begin a; begin b; node; interrupted b; interrupted a; thrown");
  CHECK(calls_of("begin") == "begin a; interrupted a; thrown");
  CHECK(calls_of("end") == "begin a; begin b; node; interrupted a; thrown");
}

TEST_CASE("after a backward pass that throws, the thread has the scope that it had before") {
  const Var w = parameter(Tensor::full({2}, 1));
  Tape tape({.measure = true, .state_gradients = true});
  Var y;
  {
    const Scope scope("outer");
    const Scope inner("inner");
    y = record("refuses", {&w}, w.value().clone(),
               [](const Var&, Grads&) { throw std::runtime_error("refused"); });
  }
  const Var loss = sum(y);
  const Scope scope("caller");
  CHECK(message_of([&] { tape.backward(loss, {.retain = true}); }) == "refused");
  CHECK(Scope::path() == "caller");
  CHECK(message_of([&] { tape.backward(loss); }) == "refused");
  CHECK(Scope::path() == "caller");
}

TEST_CASE("operations are counted by scope, with the bytes that their shapes say") {
  Var w = parameter(random_tensor({3, 4}));
  Tape tape({.measure = true});
  Var y;
  {
    Scope outer("model");
    Scope inner("head");
    y = tanh(tanh(w));
  }
  Var loss = sum(transpose(y, 0, 1));
  tape.backward(loss);
  const ProfileReport report = tape.profile();
  const ProfileRow* row = find(report, "model/head", "tanh");
  REQUIRE(row != nullptr);
  CHECK(row->calls == 2);
  CHECK(row->bytes == 2 * 12 * 8);
  CHECK(row->backward_ms > 0);
  REQUIRE(find(report, "", "transpose") != nullptr);
  CHECK(find(report, "", "transpose")->bytes == 0);
  CHECK(find(report, "", "sum")->bytes == 8);
  CHECK(Scope::path().empty());
}

TEST_CASE("the layers of a recurrent stack have scopes of their own") {
  const ProfileReport report = two_layers();
  for (const char* scope : {"l0", "l0_reverse", "l1", "l1_reverse"}) {
    const auto in_scope = [scope](const ProfileRow& row) { return row.scope == scope; };
    CHECK(std::any_of(report.rows.begin(), report.rows.end(), in_scope));
  }
}

TEST_CASE("a profile counts an operation at which the search for a NaN throws") {
  Tape tape({.measure = true, .check_finite = true});
  const Var large = parameter(Tensor::full({2}, 3e38));
  CHECK(throws_with("sum", [&] { sum(large); }));
  const Var w = parameter(Tensor::full({2}, 2));
  tape.backward(sum(w * w));
  std::int64_t sums = 0;
  for (const ProfileRow& row : tape.profile().rows) {
    if (row.operation == "sum") sums += row.calls;
  }
  CHECK(sums == 2);
}

TEST_CASE("rows add up to the events, the longest first") {
  const ProfileReport report = two_layers();
  double rows = 0;
  double events = 0;
  for (const ProfileRow& row : report.rows) rows += row.forward_ms + row.backward_ms;
  for (const ProfileEvent& event : report.events) events += event.duration_us * 1e-3;
  CHECK(rows == doctest::Approx(events).epsilon(1e-9));
  for (std::size_t i = 1; i < report.rows.size(); ++i) {
    const ProfileRow& a = report.rows[i - 1];
    const ProfileRow& b = report.rows[i];
    CHECK(a.forward_ms + a.backward_ms >= b.forward_ms + b.backward_ms);
  }
  CHECK(report.str().find("l1_reverse") != std::string::npos);
  CHECK(report.str().find("total") != std::string::npos);
}

TEST_CASE("the trace parses, and events of one track do not overlap") {
  const ProfileReport report = two_layers();
  const auto path = std::filesystem::temp_directory_path() /
                    ("tapeloop_profile_" + std::to_string(getpid()) + ".json");
  report.write_chrome_trace(path.string());
  std::ifstream file(path);
  const nlohmann::json trace = nlohmann::json::parse(file);
  std::filesystem::remove(path);
  std::array<double, 3> end{};
  std::size_t count = 0;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    ++count;
    double& last = end[event["tid"].get<std::size_t>()];
    CHECK(event["ts"].get<double>() >= last - 0.002);  // microseconds as doubles, from nanoseconds
    last = event["ts"].get<double>() + event["dur"].get<double>();
  }
  CHECK(count == report.events.size());
}

TEST_CASE("a trace that cannot be written is an error that names the file") {
  CHECK(throws_with("/no/such/folder/trace.json",
                    [] { ProfileReport{}.write_chrome_trace("/no/such/folder/trace.json"); }));
}

TEST_CASE("profile() of a tape that does not measure names the fix") {
  Tape tape;
  CHECK(throws_with("profile|{.measure = true}", [&] { tape.profile(); }));
}

TEST_CASE("memory is counted exactly: the rows add up to what is in use, and to the peak") {
  Random random(1);
  const nn::Lstm lstm({.input = 3, .hidden = 20, .layers = 2}, random);
  const Var xs(random_tensor({50, 4, 3}, kSeed, DType::float32));
  const std::int64_t before = memory::stats().live_bytes;
  Var outlives;
  Tape tape({.measure = true});
  const auto check_sums = [&](const MemoryReport& report) {
    std::int64_t now = 0, peak = 0;
    for (const MemoryRow& row : report.rows) {
      now += row.bytes;
      peak += row.peak_bytes;
    }
    CHECK(now == report.bytes);
    CHECK(report.bytes == memory::stats().live_bytes);
    CHECK(peak == report.peak_bytes);
    CHECK(report.peak_bytes == memory::stats().peak_bytes);
  };
  outlives = lstm(xs).ys;
  const Var loss = sum(square(outlives));
  const MemoryReport forward = tape.memory();
  check_sums(forward);
  std::int64_t recurrent = 0;
  for (const MemoryRow& row : forward.rows) {
    if (row.operation == "recurrent") recurrent += row.bytes;
  }
  CHECK(recurrent >= 2 * 50 * 4 * 20 * 2 * 4);  // h and c of two layers
  tape.backward(loss);
  const MemoryReport after = tape.memory();
  check_sums(after);
  CHECK(after.peak_bytes > forward.bytes);
  CHECK(after.bytes < forward.bytes);
  CHECK(after.peak_operation.find("backward") != std::string::npos);
  CHECK(after.str().find("(before the tape)") != std::string::npos);
  CHECK(after.rows.size() > 3);
  for (const MemoryRow& row : after.rows) {
    if (row.operation == "(before the tape)") CHECK(row.bytes == before);
  }
}

TEST_CASE("the peak from before a measuring tape is there again after it") {
  memory::reset_peak();
  { const Tensor large = Tensor::zeros({100000}); }
  const std::int64_t peak = memory::stats().peak_bytes;
  {
    Tape tape({.measure = true});
    CHECK(memory::stats().peak_bytes < peak);
  }
  CHECK(memory::stats().peak_bytes == peak);
}

TEST_CASE("memory() of a tape that does not measure names the fix") {
  Tape tape;
  CHECK(throws_with("memory|{.measure = true}", [&] { tape.memory(); }));
}
