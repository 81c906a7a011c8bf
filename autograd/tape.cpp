// SPDX-License-Identifier: MIT
// Recording, and the backward pass: nodes in reverse order, gradients added up per value, records freed as they are
// consumed.
#include "autograd/tape.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <unordered_map>

#include "autograd/backend.h"
#include "autograd/error.h"
#include "autograd/memory.h"
#include "autograd/ops.h"
#include "autograd/profile_record.h"

namespace tapeloop {

namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kChunkBytes = std::size_t{1} << 16;

struct Node {
  const char* name;
  detail::BackwardFunction* backward;   // nullptr once consumed
  std::uint32_t first_input, inputs;    // in TapeMemory::inputs
  std::uint32_t first_output, outputs;  // in TapeMemory::values
};

// A value of the tape: a parameter at its first use, or an operation's result.
struct Value {
  Var parameter;  // undefined for results
  Shape shape;
  DType dtype;
};

struct Gradient {
  Var sum;
  std::uint32_t last_deferred = kNone;
};

struct DeferredEntry {
  detail::Deferred pair;
  detail::Combine combine;
  std::uint32_t previous;
};

}  // namespace

// Everything a tape needs to record, kept for the next tape when one ends: recording allocates nothing then.
struct TapeMemory {
  PoolVector<Node> nodes;
  PoolVector<std::uint32_t> inputs;  // slots
  PoolVector<Value> values;
  PoolVector<Gradient> gradients;  // of the backward pass in progress
  PoolVector<DeferredEntry> deferred;
  PoolVector<detail::Deferred> gathered;
  PoolVector<Var> doutputs;
  PoolVector<std::uint32_t> parameter_slots;  // open addressing by body address
  std::uint32_t parameters = 0;
  PoolVector<char*> chunks;
  std::size_t chunk = 0;
  std::size_t used = 0;
  TapeMemory* next_free = nullptr;

  ~TapeMemory() {
    for (char* block : chunks) memory::release(block, kChunkBytes);
  }

  // `x` is a parameter: its slot, made at the first use.
  std::uint32_t parameter_slot(const Var& x) {
    if (2 * (parameters + 1) > parameter_slots.size()) grow_table();
    std::uint32_t& entry = find(x.body());
    if (entry == kNone) {
      entry = static_cast<std::uint32_t>(values.size());
      values.push_back({x, x.shape(), x.dtype()});
      ++parameters;
    }
    return entry;
  }
  std::uint32_t& find(const detail::VarBody* body) {
    std::size_t mask = parameter_slots.size() - 1;
    std::size_t i = (reinterpret_cast<std::size_t>(body) / 64 * 0x9E3779B97F4A7C15ull >> 20) & mask;
    while (parameter_slots[i] != kNone && values[parameter_slots[i]].parameter.body() != body)
      i = (i + 1) & mask;
    return parameter_slots[i];
  }
  void grow_table() {
    parameter_slots.assign(std::max<std::size_t>(64, 2 * parameter_slots.size()), kNone);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (values[i].parameter.defined())
        find(values[i].parameter.body()) = static_cast<std::uint32_t>(i);
    }
  }
  void consume(Node& node) {
    if (node.backward != nullptr) std::exchange(node.backward, nullptr)->~BackwardFunction();
  }
  void clear() {
    for (Node& node : nodes) consume(node);
    nodes.clear();
    inputs.clear();
    values.clear();
    gradients.clear();
    deferred.clear();
    std::fill(parameter_slots.begin(), parameter_slots.end(), kNone);
    parameters = 0;
    chunk = 0;
    used = 0;
  }
};

namespace {

std::atomic<std::uint64_t> next_tape_id{1};

struct ThreadState {
  Tape* tape = nullptr;
  bool paused = false;
  TapeMemory* free_memory = nullptr;
  ~ThreadState() {
    while (free_memory != nullptr) delete std::exchange(free_memory, free_memory->next_free);
  }
};
ThreadState& thread_state() {
  thread_local ThreadState state;
  return state;
}

}  // namespace

Tape::Tape() : Tape(TapeOptions{}) {}

Tape::Tape(const TapeOptions& options)
    : id_(next_tape_id.fetch_add(1)),
      profile_(options.measure ? std::make_unique<detail::Profile>() : nullptr) {
  ThreadState& state = thread_state();
  enclosing_ = std::exchange(state.tape, this);
  if (state.free_memory != nullptr) {
    memory_ = std::exchange(state.free_memory, state.free_memory->next_free);
  } else {
    memory_ = new TapeMemory;
  }
}

Tape::~Tape() {
  ThreadState& state = thread_state();
  // Tapes on the heap may end in any order: this one leaves the chain wherever it stands.
  Tape** link = &state.tape;
  while (*link != nullptr && *link != this) link = &(*link)->enclosing_;
  if (*link == this) *link = enclosing_;
  memory_->clear();
  memory_->next_free = std::exchange(state.free_memory, memory_);
}

Tape* Tape::current() {
  ThreadState& state = thread_state();
  return state.paused ? nullptr : state.tape;
}

std::size_t Tape::size() const { return memory_->nodes.size(); }

std::vector<Var> Tape::parameters() const {
  std::vector<Var> result;
  for (const Value& value : memory_->values) {
    if (value.parameter.defined()) result.push_back(value.parameter);
  }
  return result;
}

PauseRecording::PauseRecording() : before_(std::exchange(thread_state().paused, true)) {}
PauseRecording::~PauseRecording() { thread_state().paused = before_; }

void* Tape::allocate_record(std::size_t bytes) {
  bytes = (bytes + 15) / 16 * 16;
  TapeMemory& m = *memory_;
  if (m.chunk < m.chunks.size() && m.used + bytes > kChunkBytes) {
    ++m.chunk;
    m.used = 0;
  }
  if (m.chunk == m.chunks.size())
    m.chunks.push_back(static_cast<char*>(memory::allocate(kChunkBytes)));
  return m.chunks[m.chunk] + std::exchange(m.used, m.used + bytes);
}

// A computed value of another tape cannot take part: its history is not here.
static void check_tape(const char* name, const Var& x, std::uint64_t id) {
  if (x.body()->tape_id == id || x.body()->tape_id == 0) return;
  fail(name,
       fmt::format(
           "an input {} was recorded on another tape, which has ended or is not the innermost one; "
           "carry its value over by x.detach()",
           x.value().describe()));
}

bool Recorder::wanted(const char* name, std::span<const Var* const> inputs) {
  Tape* tape = Tape::current();
  if (tape == nullptr) return false;
  bool any = false;
  for (const Var* x : inputs) {
    if (!x->requires_grad()) continue;
    if (!x->is_parameter()) check_tape(name, *x, tape->id_);
    any = true;
  }
  return any;
}

void Tape::append(const char* name, std::span<const Var* const> inputs, std::span<Var> outputs,
                  detail::BackwardFunction* backward) {
  TapeMemory& m = *memory_;
  std::size_t slots_needed = m.values.size() + inputs.size() + outputs.size();
  if (slots_needed >= kNone) fail(name, "the tape is full (2^32 values); end it and start another");
  Node node{name,
            backward,
            static_cast<std::uint32_t>(m.inputs.size()),
            static_cast<std::uint32_t>(inputs.size()),
            0,
            static_cast<std::uint32_t>(outputs.size())};
  for (const Var* x : inputs) {
    m.inputs.push_back(x->is_parameter()    ? m.parameter_slot(*x)
                       : x->requires_grad() ? x->body()->slot
                                            : kNone);
  }
  node.first_output = static_cast<std::uint32_t>(m.values.size());
  for (Var& y : outputs) {
    y.body()->tape_id = id_;
    y.body()->slot = static_cast<std::uint32_t>(m.values.size());
    m.values.push_back({Var(), y.shape(), y.dtype()});
  }
  m.nodes.push_back(node);
  if (profile_ != nullptr) measure(name, inputs, outputs);
}

void Tape::measure(const char* name, std::span<const Var* const> inputs,
                   std::span<const Var> outputs) {
  std::int64_t bytes = 0;
  for (const Var& y : outputs) {
    const bool view = std::any_of(inputs.begin(), inputs.end(), [&y](const Var* x) {
      return detail::storage_of(x->value()) == detail::storage_of(y.value());
    });
    if (!view) bytes += y.numel() * size_of(y.dtype());
  }
  profile_->recorded(name, outputs.empty() ? Shape{} : outputs[0].shape(), bytes, playing_);
}

ProfileReport Tape::profile() const {
  if (profile_ == nullptr) {
    fail("profile", "this tape does not measure; make it by Tape tape({.measure = true})");
  }
  return profile_->report();
}

std::uint32_t Tape::slot_of(const Var& x) const {
  if (x.is_parameter()) {
    return memory_->parameter_slots.empty() ? kNone : memory_->find(x.body());
  }
  return x.requires_grad() && x.body()->tape_id == id_ ? x.body()->slot : kNone;
}

// --- gradients of the pass in progress ---

namespace {

bool is_ours(const Var& sum) {
  return sum.body()->references.load(std::memory_order_relaxed) == 1 &&
         !sum.value().shares_memory_with_others() && sum.value().is_contiguous();
}

// sum + contribution, in place where nobody else can see the sum.
void add_to(Var& sum, const Var& contribution, bool recording) {
  if (!sum.defined()) {
    sum = contribution;
    return;
  }
  if (!recording && is_ours(sum)) {
    add_in_place(sum.value(), contribution.value());
  } else {
    sum = add(sum, contribution);
  }
}

// Puts off contributions into the sum, now that all of them are there.
void combine_deferred(TapeMemory& m, Gradient& gradient) {
  while (gradient.last_deferred != kNone) {
    detail::Combine combine = m.deferred[gradient.last_deferred].combine;
    m.gathered.clear();
    std::uint32_t kept = kNone;  // those of another kind, for the next round
    for (std::uint32_t i = gradient.last_deferred; i != kNone;) {
      DeferredEntry& entry = m.deferred[i];
      std::uint32_t previous = entry.previous;
      if (entry.combine == combine) {
        m.gathered.push_back(std::move(entry.pair));
      } else {
        entry.previous = std::exchange(kept, i);
      }
      i = previous;
    }
    gradient.last_deferred = kept;
    std::reverse(m.gathered.begin(), m.gathered.end());
    Tensor sum;
    if (gradient.sum.defined()) {
      sum = is_ours(gradient.sum) ? gradient.sum.value() : gradient.sum.value().clone();
    }
    gradient.sum = Var();
    combine(m.gathered, sum);
    m.gathered.clear();
    gradient.sum = Var(std::move(sum));
  }
}

}  // namespace

bool Grads::needs(int input) const {
  return tape_.memory_->inputs[first_input_ + static_cast<std::uint32_t>(input)] != kNone;
}

void Grads::add(int input, const Var& contribution) {
  if (!needs(input)) return;
  TapeMemory& m = *tape_.memory_;
  std::uint32_t slot = m.inputs[first_input_ + static_cast<std::uint32_t>(input)];
  if (contribution.shape() != m.values[slot].shape) {
    fail(
        "backward",
        fmt::format("a gradient {} was added to a value {}; the operation's backward function must "
                    "give its input's shape",
                    contribution.shape().str(), m.values[slot].shape.str()));
  }
  if (contribution.dtype() != m.values[slot].dtype) {
    fail("backward",
         fmt::format("a gradient of {} was added to a value of {}; the operation's backward "
                     "function must give its input's type, by to(dx, {})",
                     name(contribution.dtype()), name(m.values[slot].dtype),
                     name(m.values[slot].dtype)));
  }
  add_to(m.gradients[slot].sum, contribution, recording_);
}

Tensor Grads::whole_gradient(int input, const Shape& whole, const Var& contribution) {
  TapeMemory& m = *tape_.memory_;
  Gradient& gradient = m.gradients[m.inputs[first_input_ + static_cast<std::uint32_t>(input)]];
  if (!gradient.sum.defined() || !is_ours(gradient.sum)) {
    Tensor fresh = Tensor::zeros(whole, contribution.dtype(), contribution.device());
    if (gradient.sum.defined()) fresh.copy_from(gradient.sum.value());
    gradient.sum = Var(std::move(fresh));
  }
  return gradient.sum.value();
}

void Grads::accumulate_into(const Tensor& part, const Tensor& contribution) {
  add_in_place(part, contribution);
}

void Grads::defer(int input, const Var& a, const Var& b, detail::Combine combine) {
  if (!needs(input)) return;
  TapeMemory& m = *tape_.memory_;
  Gradient& gradient = m.gradients[m.inputs[first_input_ + static_cast<std::uint32_t>(input)]];
  m.deferred.push_back({{a, b}, combine, gradient.last_deferred});
  gradient.last_deferred = static_cast<std::uint32_t>(m.deferred.size() - 1);
}

// --- the backward pass ---

void Tape::run(const Var& y, const Var& dy, const BackwardOptions& options, bool into_parameters) {
  TapeMemory& m = *memory_;
  if (thread_state().tape != this) {
    fail("backward",
         "called on a tape that is not the innermost one in this thread; end the inner tape first");
  }
  if (y.is_parameter()) m.parameter_slot(y);  // a parameter may be its own loss
  if (!y.defined() || slot_of(y) == kNone) {
    fail("backward",
         "the loss does not depend on any parameter recorded on this tape; make the weights by "
         "parameter(...), and compute the loss while the tape is in scope");
  }
  if (played_) {
    fail("backward",
         "this tape was played back already and its record is gone; pass {.retain = true} to the "
         "first "
         "call, or start a new tape");
  }
  if (dy.shape() != y.shape() || dy.dtype() != y.dtype()) {
    fail("backward", fmt::format("the upstream gradient is {}, the output {}",
                                 dy.value().describe(), y.value().describe()));
  }
  bool recording = options.create_graph;
  bool retain = options.retain || recording;
  m.gradients.clear();
  m.gradients.resize(m.values.size());
  m.deferred.clear();
  m.gradients[slot_of(y)].sum = dy;

  played_ = !retain;  // also where an operation's backward throws: part of the record is gone then
  bool was_paused = std::exchange(thread_state().paused, !recording);
  playing_ = true;
  struct Restore {
    Tape* tape;
    bool before;
    ~Restore() {
      thread_state().paused = before;
      tape->playing_ = false;
      if (tape->profile_ != nullptr) tape->profile_->resume();
    }
  } restore{this, was_paused};

  const auto finish = [&](std::uint32_t slot) {
    if (!m.values[slot].parameter.defined()) return;
    combine_deferred(m, m.gradients[slot]);
    if (into_parameters) finish_parameter(slot, recording);
  };
  for (std::size_t i = m.nodes.size(); i-- > 0;) {
    Node node = m.nodes[i];  // a copy: recording may move the list
    bool reached = false;
    m.doutputs.clear();
    for (std::uint32_t k = 0; k < node.outputs; ++k) {
      Gradient& gradient = m.gradients[node.first_output + k];
      combine_deferred(m, gradient);
      reached = reached || gradient.sum.defined();
      // Values asked for by gradient() are read afterwards; without retain a gradient is moved out to be freed early.
      m.doutputs.push_back(into_parameters ? std::move(gradient.sum) : gradient.sum);
    }
    if (reached) {
      // The backward function may record (and so touch these lists): it gets its own copy of the gradients.
      PoolVector<Var> doutputs = std::move(m.doutputs);
      m.doutputs = PoolVector<Var>();
      Grads grads(*this, node.first_input, node.inputs, recording, !retain);
      const std::int64_t start = profile_ != nullptr ? profile_->now() : 0;
      (*node.backward)(doutputs, grads);
      if (profile_ != nullptr) profile_->played(i, start);
      doutputs.clear();
      m.doutputs = std::move(doutputs);
    }
    if (!retain) m.consume(m.nodes[i]);
    // Parameters that came onto the tape with this operation were not used before it: their gradients are complete, and
    // what they were made from is freed.
    const std::uint32_t before = i == 0 ? 0 : m.nodes[i - 1].first_output + m.nodes[i - 1].outputs;
    if (before == node.first_output) continue;
    const std::int64_t start = profile_ != nullptr ? profile_->now() : 0;
    for (std::uint32_t slot = before; slot < node.first_output; ++slot) finish(slot);
    if (profile_ != nullptr) profile_->combined(i, start);
  }

  for (std::uint32_t slot = 0; slot < m.gradients.size(); ++slot) finish(slot);
}

// Nothing more will be added to this parameter's gradient: into its grad() with it.
void Tape::finish_parameter(std::uint32_t slot, bool recording) {
  Gradient& gradient = memory_->gradients[slot];
  if (!gradient.sum.defined()) return;
  const Var parameter = memory_->values[slot].parameter;
  Var& grad = parameter.body()->grad;
  // The history of a gradient made on an earlier tape is not here.
  if (grad.requires_grad() && grad.body()->tape_id != id_) grad = grad.detach();
  if (!grad.defined() && !recording && !is_ours(gradient.sum)) {
    grad = Var(gradient.sum.value().clone());
  } else {
    add_to(grad, gradient.sum, recording);
  }
  gradient.sum = Var();
}

static Var ones_like_scalar(const char* what, const Var& loss) {
  if (!loss.defined() || loss.numel() != 1) {
    fail(
        what,
        fmt::format(
            "loss must be a scalar, got {}; reduce it first, e.g. mean(loss), or give the upstream "
            "gradient",
            loss.defined() ? loss.shape().str() : "an undefined variable"));
  }
  return Var(Tensor::full(loss.shape(), 1.0, loss.dtype(), loss.device()));
}

void Tape::backward(const Var& loss, const BackwardOptions& options) {
  backward(loss, ones_like_scalar("backward", loss), options);
}

void Tape::backward(const Var& y, const Var& dy, const BackwardOptions& options) {
  run(y, dy, options, true);
  memory_->gradients.clear();
}

std::vector<Var> Tape::gradient(const Var& loss, std::span<const Var> xs,
                                const BackwardOptions& options) {
  return gradient(loss, ones_like_scalar("gradient", loss), xs, options);
}

std::vector<Var> Tape::gradient(const Var& y, const Var& dy, std::span<const Var> xs,
                                const BackwardOptions& options) {
  for (const Var& x : xs) {
    if (!x.requires_grad()) {
      fail("gradient", "an x is a constant (" + x.value().describe() +
                           "); make it by parameter(...) before using it");
    }
  }
  run(y, dy, options, false);
  std::vector<Var> result;
  for (const Var& x : xs) {
    std::uint32_t slot = slot_of(x);
    Var sum =
        slot == kNone || slot >= memory_->gradients.size() ? Var() : memory_->gradients[slot].sum;
    result.push_back(sum.defined() ? sum : Var(Tensor::zeros(x.shape(), x.dtype(), x.device())));
  }
  memory_->gradients.clear();
  return result;
}

// A functor's name inside quotes.
static std::string escaped(const char* text) {
  std::string result;
  for (; *text != 0; ++text) {
    if (*text == '"' || *text == '\\') result += '\\';
    result += *text;
  }
  return result;
}

std::string Tape::to_dot() const {
  const TapeMemory& m = *memory_;
  std::string dot =
      "digraph tape {\n  rankdir=BT;\n  node [shape=box, fontname=\"sans-serif\", fontsize=10];\n";
  std::vector<std::string> owner(m.values.size());
  for (std::size_t i = 0; i < m.values.size(); ++i) {
    if (!m.values[i].parameter.defined()) continue;
    owner[i] = fmt::format("p{}", i);
    dot += fmt::format("  {} [label=\"parameter\\n{}\", style=filled, fillcolor=\"#ffe8c0\"];\n",
                       owner[i], m.values[i].shape.str());
  }
  for (std::size_t n = 0; n < m.nodes.size(); ++n) {
    const Node& node = m.nodes[n];
    std::string shapes;
    for (std::uint32_t k = 0; k < node.outputs; ++k) {
      owner[node.first_output + k] = fmt::format("n{}", n);
      shapes += (k == 0 ? "" : " ") + m.values[node.first_output + k].shape.str();
    }
    dot += fmt::format("  n{} [label=\"{}\\n{}\"];\n", n, escaped(node.name), shapes);
    for (std::uint32_t k = 0; k < node.inputs; ++k) {
      std::uint32_t slot = m.inputs[node.first_input + k];
      if (slot != kNone) dot += fmt::format("  {} -> n{};\n", owner[slot], n);
    }
  }
  return dot + "}\n";
}

}  // namespace tapeloop
