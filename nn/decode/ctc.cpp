// SPDX-License-Identifier: MIT
#include "tapeloop/nn/decode/ctc.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "tapeloop/autograd/tensor/error.h"

namespace tapeloop::nn {

namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  const double most = std::max(a, b);
  return most == kNever ? kNever : most + std::log(std::exp(a - most) + std::exp(b - most));
}

// The numbers of one sequence: at(t, c).
struct Steps {
  const std::vector<double>& all;
  std::int64_t batch, classes, n, length;
  double at(std::int64_t t, std::int64_t c) const {
    return all[static_cast<std::size_t>((t * batch + n) * classes + c)];
  }
};

template <class Decode>
std::vector<CtcLabels> decode_each(const char* name, const Tensor& x,
                                   std::span<const std::int64_t> lengths, std::int64_t blank,
                                   Decode decode) {
  if (!x.defined() || x.rank() != 3 || x.dtype() == DType::int64 || blank < 0 ||
      blank >= x.dim(2) ||
      (!lengths.empty() && static_cast<std::int64_t>(lengths.size()) != x.dim(1))) {
    fail(name, fmt::format("log_probabilities are {}, {} lengths, blank {}; expected floats "
                           "[T, N, C], a length for each sequence or none, and a blank below C",
                           x.defined() ? x.describe() : "undefined", lengths.size(), blank));
  }
  const std::vector<double> all = x.to(Device::cpu).to(DType::float64).to_vector<double>();
  std::vector<CtcLabels> results;
  for (std::int64_t n = 0; n < x.dim(1); ++n) {
    const std::int64_t length = lengths.empty() ? x.dim(0) : lengths[static_cast<std::size_t>(n)];
    if (length < 0 || length > x.dim(0)) {
      fail(name, fmt::format("length {} is {}, expected 0 to {}", n, length, x.dim(0)));
    }
    const Steps steps{all, x.dim(1), x.dim(2), n, length};
    for (std::int64_t t = 0; t < length; ++t) {
      for (std::int64_t c = 0; c < steps.classes; ++c) {
        if (std::isnan(steps.at(t, c))) {
          fail(name, fmt::format("step {} of sequence {} has a NaN", t, n));
        }
      }
    }
    results.push_back(decode(steps));
  }
  return results;
}

// A prefix of labels: the sums over its alignments that end with a blank, and with its last label.
struct Beam {
  double blank = kNever, label = kNever;
  double prior = 0;  // of all its labels
  double sum() const { return log_add(blank, label); }
  double score() const { return sum() + prior; }
};
using Beams = std::map<std::vector<std::int64_t>, Beam>;

// The best `most` of them. Equal ones in the order of their labels.
void keep_best(Beams& beams, std::size_t most) {
  if (beams.size() <= most) return;
  std::vector<Beams::iterator> order;
  for (auto it = beams.begin(); it != beams.end(); ++it) order.push_back(it);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a->second.score() > b->second.score();
  });
  for (std::size_t i = most; i < order.size(); ++i) beams.erase(order[i]);
}

}  // namespace

std::vector<CtcLabels> ctc_greedy(const Tensor& log_probabilities,
                                  std::span<const std::int64_t> lengths, std::int64_t blank) {
  return decode_each("ctc_greedy", log_probabilities, lengths, blank, [blank](const Steps& steps) {
    CtcLabels result;
    std::int64_t before = blank;
    for (std::int64_t t = 0; t < steps.length; ++t) {
      std::int64_t best = 0;
      for (std::int64_t c = 1; c < steps.classes; ++c) {
        if (steps.at(t, c) > steps.at(t, best)) best = c;
      }
      result.log_probability += steps.at(t, best);
      if (best != blank && best != before) result.labels.push_back(best);
      before = best;
    }
    return result;
  });
}

std::vector<CtcLabels> ctc_beam_search(const Tensor& log_probabilities,
                                       std::span<const std::int64_t> lengths,
                                       const CtcBeamOptions& options) {
  const char* const name = "ctc_beam_search";
  if (options.beams < 1) fail(name, fmt::format("beams is {}, expected 1 or more", options.beams));
  const auto search = [&options](const Steps& steps) {
    Beams beams;
    beams[{}].blank = 0;
    for (std::int64_t t = 0; t < steps.length; ++t) {
      Beams next;
      for (const auto& [prefix, beam] : beams) {
        const double sum = beam.sum();
        Beam& same = next[prefix];
        same.prior = beam.prior;
        same.blank = log_add(same.blank, sum + steps.at(t, options.blank));
        if (!prefix.empty()) {
          same.label = log_add(same.label, beam.label + steps.at(t, prefix.back()));
        }
        for (std::int64_t c = 0; c < steps.classes; ++c) {
          const bool again = !prefix.empty() && prefix.back() == c;
          // The same label twice needs a blank between.
          const double from = (again ? beam.blank : sum) + steps.at(t, c);
          if (c == options.blank || from == kNever) continue;
          std::vector<std::int64_t> longer = prefix;
          longer.push_back(c);
          Beam& to = next[longer];
          to.label = log_add(to.label, from);
          to.prior = beam.prior + (options.prior ? options.prior(prefix, c) : 0);
        }
      }
      keep_best(next, static_cast<std::size_t>(options.beams));
      beams = std::move(next);
    }
    keep_best(beams, 1);
    return CtcLabels{beams.begin()->first, beams.begin()->second.sum()};
  };
  return decode_each(name, log_probabilities, lengths, options.blank, search);
}

}  // namespace tapeloop::nn
