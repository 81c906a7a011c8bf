// SPDX-License-Identifier: MIT
// A peer: oneDNN's RNN primitives (LSTM, tanh RNN, and GRU with reset after the product), in
// training and inference. It has no user-written cell: the primitives are fixed. Builds with oneDNN
// 2 and 3.
//
// Parameters and their gradients are in the plain format ldigo, as an optimizer would keep them.
// Each step reorders the parameters into the formats that the primitive prefers, forward and
// backward, and reorders the gradients back.
// T time steps, N batch, I input size, H hidden size.
#include <omp.h>

#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <random>

#include "row.h"

namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Dims = memory::dims;
constexpr auto kDirection = dnnl::rnn_direction::unidirectional_left2right;
constexpr auto kTraining = dnnl::prop_kind::forward_training;
constexpr auto kInference = dnnl::prop_kind::forward_inference;
constexpr auto kBackward = dnnl::prop_kind::backward;

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}
dnnl::stream& queue() {
  static dnnl::stream stream(cpu());
  return stream;
}

memory::desc describe(const Dims& dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }
float* numbers(const memory& m) { return static_cast<float*>(m.get_data_handle()); }
std::size_t count(const memory& m) { return m.get_desc().get_size() / sizeof(float); }
void zero(const memory& m) { std::fill_n(numbers(m), count(m), 0.0F); }

memory zeros(const memory::desc& desc) {
  memory m(desc, cpu());
  zero(m);
  return m;
}
memory normal(const Dims& dims, Tag tag, float deviation) {
  static std::mt19937 generator(1);
  std::normal_distribution<float> distribution(0, deviation);
  memory m(describe(dims, tag), cpu());
  std::generate_n(numbers(m), count(m), [&] { return distribution(generator); });
  return m;
}

// A copy of memory in another format, or the memory itself if the formats are the same.
class Reordered {
 public:
  Reordered(const memory& plain, const memory::desc& wanted)
      : plain_(plain), other_(plain.get_desc() == wanted ? plain : memory(wanted, cpu())) {
    if (plain.get_desc() == wanted) return;
    there_.emplace(plain_, other_);
    back_.emplace(other_, plain_);
  }
  const memory& there() {
    if (there_) there_->execute(queue(), plain_, other_);
    return other_;
  }
  const memory& other() const { return other_; }
  void back() {
    if (back_) back_->execute(queue(), other_, plain_);
  }

 private:
  memory plain_, other_;
  std::optional<dnnl::reorder> there_, back_;
};

// Version 2 describes an operation before the primitive, version 3 does both at once.
template <class Primitive, class... Arguments>
auto forward_description(const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(cpu(), arguments...);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(arguments...), cpu());
#endif
}
template <class Primitive, class Hint, class... Arguments>
auto backward_description(const Hint& hint, const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(cpu(), arguments..., hint);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(arguments...), cpu(), hint);
#endif
}

// The formats of a layer's operands. The states before the first and after the last step are passed
// even if they are zero or unused: without them version 2.6 computes wrong gradients of the
// recurrent weights.
struct Formats {
  memory::desc x, state, w, u, b, y;
};

struct Lstm {
  static constexpr std::int64_t kGates = 4, kBiases = 4;
  using Forward = dnnl::lstm_forward;
  using Backward = dnnl::lstm_backward;
  static auto forward(dnnl::prop_kind kind, const Formats& f) {
    return forward_description<Forward>(kind, kDirection, f.x, f.state, f.state, f.w, f.u, f.b, f.y,
                                        f.state, f.state);
  }
  static auto backward(const Forward::primitive_desc& hint, const Formats& f) {
    return backward_description<Backward>(hint, kBackward, kDirection, f.x, f.state, f.state, f.w,
                                          f.u, f.b, f.y, f.state, f.state, f.x, f.state, f.state,
                                          f.w, f.u, f.b, f.y, f.state, f.state);
  }
};
struct Gru {
  static constexpr std::int64_t kGates = 3, kBiases = 4;
  using Forward = dnnl::lbr_gru_forward;
  using Backward = dnnl::lbr_gru_backward;
  static auto forward(dnnl::prop_kind kind, const Formats& f) {
    return forward_description<Forward>(kind, kDirection, f.x, f.state, f.w, f.u, f.b, f.y,
                                        f.state);
  }
  static auto backward(const Forward::primitive_desc& hint, const Formats& f) {
    return backward_description<Backward>(hint, kBackward, kDirection, f.x, f.state, f.w, f.u, f.b,
                                          f.y, f.state, f.x, f.state, f.w, f.u, f.b, f.y, f.state);
  }
};
struct Rnn {
  static constexpr std::int64_t kGates = 1, kBiases = 1;
  static constexpr auto kTanh = dnnl::algorithm::eltwise_tanh;
  using Forward = dnnl::vanilla_rnn_forward;
  using Backward = dnnl::vanilla_rnn_backward;
  static auto forward(dnnl::prop_kind kind, const Formats& f) {
    return forward_description<Forward>(kind, kTanh, kDirection, f.x, f.state, f.w, f.u, f.b, f.y,
                                        f.state);
  }
  static auto backward(const Forward::primitive_desc& hint, const Formats& f) {
    return backward_description<Backward>(hint, kBackward, kTanh, kDirection, f.x, f.state, f.w,
                                          f.u, f.b, f.y, f.state, f.x, f.state, f.w, f.u, f.b, f.y,
                                          f.state);
  }
};

// The parameters of one layer: they stay while the weights keep their sizes.
template <class Cell>
struct Parameters {
  Parameters(std::int64_t input, std::int64_t hidden)
      : deviation(1 / std::sqrt(static_cast<float>(hidden))),
        w(normal({1, 1, input, Cell::kGates, hidden}, Tag::ldigo, deviation)),
        u(normal({1, 1, hidden, Cell::kGates, hidden}, Tag::ldigo, deviation)),
        b(normal({1, 1, Cell::kBiases, hidden}, Tag::ldgo, deviation)) {}

  Formats formats(const memory::desc& x, const memory::desc& state, const memory::desc& y,
                  bool plain) const {
    if (plain) return {x, state, w.get_desc(), u.get_desc(), b.get_desc(), y};
    return {x,
            state,
            describe(w.get_desc().dims(), Tag::any),
            describe(u.get_desc().dims(), Tag::any),
            b.get_desc(),
            y};
  }
  float deviation;
  memory w, u, b;
};

// The primitives of a training step, with all memory that they keep between forward and backward.
template <class Cell>
struct Primitives {
  Primitives(const Parameters<Cell>& p, const memory& xs, const memory& state, const memory& ys,
             const memory& dw_plain, const memory& du_plain, bool plain)
      : forward_pd(Cell::forward(kTraining,
                                 p.formats(xs.get_desc(), state.get_desc(), ys.get_desc(), plain))),
        backward_pd(Cell::backward(
            forward_pd, p.formats(xs.get_desc(), state.get_desc(), ys.get_desc(), false))),
        forward(forward_pd),
        backward(backward_pd),
        workspace(forward_pd.workspace_desc(), cpu()),
        w_forward(p.w, forward_pd.weights_layer_desc()),
        u_forward(p.u, forward_pd.weights_iter_desc()),
        w_backward(p.w, backward_pd.weights_layer_desc()),
        u_backward(p.u, backward_pd.weights_iter_desc()),
        dw(dw_plain, backward_pd.diff_weights_layer_desc()),
        du(du_plain, backward_pd.diff_weights_iter_desc()) {}

  typename Cell::Forward::primitive_desc forward_pd;
  typename Cell::Backward::primitive_desc backward_pd;
  typename Cell::Forward forward;
  typename Cell::Backward backward;
  memory workspace;
  Reordered w_forward, u_forward, w_backward, u_backward, dw, du;
};

// A training step: ys from xs, then dw, du, db and dxs from the dense gradient dys of ys. The first
// step makes the primitives, so that a row about memory includes their memory.
template <class Cell>
class Training {
 public:
  Training(const peer::Row& row, bool plain_forward)
      : threads_(row.threads()),
        plain_(plain_forward),
        parameters_(row.at("I"), row.at("H")),
        xs_(normal({row.at("T"), row.at("N"), row.at("I")}, Tag::tnc, 1)),
        dys_(normal({row.at("T"), row.at("N"), row.at("H")}, Tag::tnc, 1)),
        ys_(zeros(dys_.get_desc())),
        dxs_(zeros(xs_.get_desc())),
        first_h_(zeros(describe({1, 1, row.at("N"), row.at("H")}, Tag::ldnc))),
        first_c_(zeros(first_h_.get_desc())),
        last_h_(zeros(first_h_.get_desc())),
        last_c_(zeros(first_h_.get_desc())),
        no_gradient_(zeros(first_h_.get_desc())),
        dfirst_h_(zeros(first_h_.get_desc())),
        dfirst_c_(zeros(first_h_.get_desc())),
        dw_(zeros(parameters_.w.get_desc())),
        du_(zeros(parameters_.u.get_desc())),
        db_(zeros(parameters_.b.get_desc())) {}

  void step() {
    omp_set_num_threads(threads_);
    if (!made_) made_.emplace(parameters_, xs_, first_h_, ys_, dw_, du_, plain_);
    Primitives<Cell>& p = *made_;
    p.forward.execute(queue(), {{DNNL_ARG_SRC_LAYER, xs_},
                                {DNNL_ARG_WEIGHTS_LAYER, p.w_forward.there()},
                                {DNNL_ARG_WEIGHTS_ITER, p.u_forward.there()},
                                {DNNL_ARG_BIAS, parameters_.b},
                                {DNNL_ARG_DST_LAYER, ys_},
                                {DNNL_ARG_SRC_ITER, first_h_},
                                {DNNL_ARG_SRC_ITER_C, first_c_},
                                {DNNL_ARG_DST_ITER, last_h_},
                                {DNNL_ARG_DST_ITER_C, last_c_},
                                {DNNL_ARG_WORKSPACE, p.workspace}});
    for (const memory& m : {p.dw.other(), p.du.other(), db_}) zero(m);  // backward adds to them
    p.backward.execute(queue(), {{DNNL_ARG_SRC_LAYER, xs_},
                                 {DNNL_ARG_WEIGHTS_LAYER, p.w_backward.there()},
                                 {DNNL_ARG_WEIGHTS_ITER, p.u_backward.there()},
                                 {DNNL_ARG_BIAS, parameters_.b},
                                 {DNNL_ARG_DST_LAYER, ys_},
                                 {DNNL_ARG_SRC_ITER, first_h_},
                                 {DNNL_ARG_SRC_ITER_C, first_c_},
                                 {DNNL_ARG_DST_ITER, last_h_},
                                 {DNNL_ARG_DST_ITER_C, last_c_},
                                 {DNNL_ARG_WORKSPACE, p.workspace},
                                 {DNNL_ARG_DIFF_SRC_LAYER, dxs_},
                                 {DNNL_ARG_DIFF_WEIGHTS_LAYER, p.dw.other()},
                                 {DNNL_ARG_DIFF_WEIGHTS_ITER, p.du.other()},
                                 {DNNL_ARG_DIFF_BIAS, db_},
                                 {DNNL_ARG_DIFF_DST_LAYER, dys_},
                                 {DNNL_ARG_DIFF_DST_ITER, no_gradient_},
                                 {DNNL_ARG_DIFF_DST_ITER_C, no_gradient_},
                                 {DNNL_ARG_DIFF_SRC_ITER, dfirst_h_},
                                 {DNNL_ARG_DIFF_SRC_ITER_C, dfirst_c_}});
    p.dw.back();
    p.du.back();
    queue().wait();
  }

  // Compares gradients with central differences of sum(ys * dys). Throws if they disagree.
  void check() {
    step();
    for (auto [value, gradient] :
         {std::pair(parameters_.w, dw_), {parameters_.u, du_}, {parameters_.b, db_}}) {
      std::vector<float> analytic(numbers(gradient), numbers(gradient) + count(gradient));
      float largest = 0;
      for (float g : analytic) largest = std::max(largest, std::abs(g));
      for (std::size_t k = 0; k < analytic.size(); k += 1 + analytic.size() / 7) {
        float& number = numbers(value)[k];
        const float here = number, h = 1e-2F;
        number = here + h;
        double above = loss();
        number = here - h;
        double below = loss();
        number = here;
        double numeric = (above - below) / (2 * static_cast<double>(h));
        if (!(std::abs(numeric - static_cast<double>(analytic[k])) <
              0.02 * static_cast<double>(largest))) {
          throw std::runtime_error("a gradient is " + std::to_string(analytic[k]) +
                                   ", finite differences say " + std::to_string(numeric) +
                                   "; its time would say nothing");
        }
      }
    }
  }

 private:
  double loss() {
    step();
    double sum = 0;
    for (std::size_t k = 0; k < count(ys_); ++k) {
      sum += static_cast<double>(numbers(ys_)[k]) * static_cast<double>(numbers(dys_)[k]);
    }
    return sum;
  }

  int threads_;
  bool plain_;
  Parameters<Cell> parameters_;
  memory xs_, dys_, ys_, dxs_, first_h_, first_c_, last_h_, last_c_, no_gradient_, dfirst_h_,
      dfirst_c_, dw_, du_, db_;
  std::optional<Primitives<Cell>> made_;
};

// One LSTM layer, one stream, one time step per call; the state stays in the layer.
class OneStep {
 public:
  OneStep(std::int64_t input, std::int64_t hidden)
      : parameters_(input, hidden),
        x(zeros(describe({1, 1, input}, Tag::tnc))),
        y(zeros(describe({1, 1, hidden}, Tag::tnc))),
        h_(zeros(describe({1, 1, 1, hidden}, Tag::ldnc))),
        c_(zeros(h_.get_desc())),
        h_next_(zeros(h_.get_desc())),
        c_next_(zeros(h_.get_desc())),
        pd_(Lstm::forward(kInference,
                          parameters_.formats(x.get_desc(), h_.get_desc(), y.get_desc(), false))),
        primitive_(pd_),
        w_(parameters_.w, pd_.weights_layer_desc()),
        u_(parameters_.u, pd_.weights_iter_desc()) {
    w_.there();
    u_.there();
    for (bool flip : {false, true}) {
      arguments_[flip] = {{DNNL_ARG_SRC_LAYER, x},
                          {DNNL_ARG_SRC_ITER, flip ? h_next_ : h_},
                          {DNNL_ARG_SRC_ITER_C, flip ? c_next_ : c_},
                          {DNNL_ARG_WEIGHTS_LAYER, w_.other()},
                          {DNNL_ARG_WEIGHTS_ITER, u_.other()},
                          {DNNL_ARG_BIAS, parameters_.b},
                          {DNNL_ARG_DST_LAYER, y},
                          {DNNL_ARG_DST_ITER, flip ? h_ : h_next_},
                          {DNNL_ARG_DST_ITER_C, flip ? c_ : c_next_}};
    }
  }
  void step() {
    primitive_.execute(queue(), arguments_[flip_]);
    flip_ = !flip_;
  }

 private:
  Parameters<Lstm> parameters_;

 public:
  memory x, y;

 private:
  memory h_, c_, h_next_, c_next_;
  Lstm::Forward::primitive_desc pd_;
  Lstm::Forward primitive_;
  Reordered w_, u_;
  std::unordered_map<int, memory> arguments_[2];
  bool flip_ = false;
};

float dot(const float* a, const float* b, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t k = 0; k < n; ++k) sum += a[k] * b[k];
  return sum;
}

// The audio model: an LSTM on one number, then a linear unit.
class Infer {
 public:
  explicit Infer(std::int64_t hidden)
      : lstm_(1, hidden), head_(normal({hidden}, Tag::a, 0.1F)), hidden_(hidden) {}
  void step() {
    numbers(lstm_.x)[0] = 0.5F - 0.1F * out_;
    lstm_.step();
    out_ = dot(numbers(lstm_.y), numbers(head_), hidden_);
  }

 private:
  OneStep lstm_;
  memory head_;
  std::int64_t hidden_;
  float out_ = 0;
};

// The character model, one symbol in and the next one drawn from the softmax of its logits:
// embedding 64, two layers of 256 units, 65 symbols. The lookup, the logits and the draw are our
// own loops around the two primitives.
class Sample {
 public:
  void step() {
    std::copy_n(numbers(embedding_) + symbol_ * kEmbedding, kEmbedding, numbers(first_.x));
    first_.step();
    std::copy_n(numbers(first_.y), kHidden, numbers(second_.x));
    second_.step();
    float largest = -1e30F, sum = 0, p[kSymbols];
    for (std::int64_t v = 0; v < kSymbols; ++v) {
      p[v] = dot(numbers(second_.y), numbers(head_) + v * kHidden, kHidden);
      largest = std::max(largest, p[v]);
    }
    for (float& logit : p) sum += logit = std::exp(logit - largest);
    float left = std::uniform_real_distribution<float>(0, sum)(generator_);
    for (symbol_ = 0; symbol_ + 1 < kSymbols && (left -= p[symbol_]) > 0;) ++symbol_;
  }

 private:
  static constexpr std::int64_t kSymbols = 65, kEmbedding = 64, kHidden = 256;
  memory embedding_ = normal({kSymbols, kEmbedding}, Tag::ab, 1);
  memory head_ = normal({kSymbols, kHidden}, Tag::ab, 0.1F);
  OneStep first_{kEmbedding, kHidden}, second_{kHidden, kHidden};
  std::mt19937 generator_;
  std::int64_t symbol_ = 0;
};

template <class Cell>
std::vector<peer::Variant> training(const peer::Row& row) {
  peer::Row small = row;
  small.sizes = {{"T", 5}, {"N", 3}, {"I", 17}, {"H", 19}, {"threads", row.threads()}};
  std::vector<peer::Variant> variants;
  for (bool plain : {false, true}) {
    Training<Cell>(small, plain).check();
    auto work = std::make_shared<Training<Cell>>(row, plain);
    variants.push_back(
        {plain ? "plain weights forward" : "preferred formats", [work] { work->step(); }});
  }
  return variants;
}

std::vector<peer::Variant> make(const peer::Row& row) {
  if (row.kind == "train/lstm") return training<Lstm>(row);
  if (row.kind == "train/gru") return training<Gru>(row);
  if (row.kind == "train/rnn") return training<Rnn>(row);
  if (row.kind == "charlm/sample") {
    omp_set_num_threads(1);
    auto work = std::make_shared<Sample>();
    return {{"two LSTM primitives, one step", [work] { work->step(); }}};
  }
  if (row.kind == "infer/lstm") {
    omp_set_num_threads(1);
    auto work = std::make_shared<Infer>(row.at("H"));
    return {{"LSTM primitive, one step", [work] { work->step(); }}};
  }
  return {};
}

std::string version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." +
         std::to_string(v->patch) + ", OpenMP";
}

}  // namespace

int main(int argc, char** argv) { return peer::serve(argc, argv, "oneDNN", version(), make); }
