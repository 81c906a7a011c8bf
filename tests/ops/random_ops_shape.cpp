// SPDX-License-Identifier: MIT
// Rows for random programs: operations that move elements.
#include <numeric>

#include "tests/ops/random_programs.h"

namespace tapeloop::test {
namespace {

std::int64_t at(const Index& i, std::int64_t axis) { return i[static_cast<std::size_t>(axis)]; }
Shape shape_of(std::span<const std::int64_t> sizes) { return Shape(sizes); }
int as_int(std::int64_t i) { return static_cast<int>(i); }
std::vector<std::int64_t> sizes_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

// An operation along one axis, the first integer. `rest` draws the other integers from the size of
// the axis.
RandomOp along(const char* name, const char* code, std::int64_t least_size,
               void (*rest)(Draw&, std::int64_t size, Step&), Var (*run)(const Var&, const Step&),
               Array (*loops)(const Array&, const Step&)) {
  const auto draw = [=](Draw& d, Step& step) {
    step.args = {d.value(1)};
    const Shape& shape = d.shape(step.args[0]);
    const int axis = d.axis(shape);
    step.ints = {axis};
    if (shape[axis] < least_size) return false;
    rest(d, shape[axis], step);
    return true;
  };
  return {name, code, draw, [run](Inputs x, const Step& s) { return run(x[0], s); },
          [loops](Arrays x, const Step& s) { return loops(x[0], s); }};
}

bool draw_sizes(Draw& d, Step& step) {  // of the same number of elements, in another shape
  step.args = {d.value(1)};
  step.ints = sizes_of(d.shape(step.args[0]));
  const auto place = step.ints.begin() + d.below(static_cast<std::int64_t>(step.ints.size()));
  if (d.chance(0.3)) {
    step.ints.insert(place, 1);
  } else if (step.ints.size() > 1 && d.chance(0.5)) {
    step.ints = {
        std::accumulate(step.ints.begin(), step.ints.end(), std::int64_t{1}, std::multiplies<>())};
  } else if (place + 1 != step.ints.end()) {
    *place *= *(place + 1);
    step.ints.erase(place + 1);
  }
  return true;
}

bool draw_order(Draw& d, Step& step) {
  step.args = {d.value(2)};
  step.ints.resize(static_cast<std::size_t>(d.shape(step.args[0]).rank()));
  std::iota(step.ints.begin(), step.ints.end(), 0);
  for (std::size_t i = step.ints.size(); i > 1; --i) {
    std::swap(step.ints[i - 1],
              step.ints[static_cast<std::size_t>(d.below(as_int(static_cast<std::int64_t>(i))))]);
  }
  return true;
}
Array permuted(const Array& x, std::span<const std::int64_t> order) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t axis : order) sizes.push_back(x.shape[as_int(axis)]);
  return make_array(shape_of(sizes), [&](const Index& i) {
    Index from(i.size());
    for (std::size_t k = 0; k < i.size(); ++k) from[static_cast<std::size_t>(order[k])] = i[k];
    return x.at(from);
  });
}

// Joins two or three values that differ in the size of one axis only.
bool draw_parts(Draw& d, Step& step, bool same_size) {
  const int first = d.value(1);
  const Shape shape = d.shape(first);
  const int axis = d.axis(shape);
  step.ints = {axis};
  step.args = {first};
  const int more = 1 + as_int(d.below(2));
  for (int k = 0; k < more; ++k) {
    step.args.push_back(d.chance(0.3) ? first
                                      : d.input(same_size ? shape : shape.with(axis, d.size())));
  }
  return true;
}

Array concatenated(Arrays x, int axis) {
  std::int64_t size = 0;
  for (const Array& part : x) size += part.shape[axis];
  return make_array(x[0].shape.with(axis, size), [&](const Index& i) {
    std::int64_t k = at(i, axis);
    std::size_t part = 0;
    while (k >= x[part].shape[axis]) k -= x[part++].shape[axis];
    return x[part].at(with(i, axis, k));
  });
}
Array stacked(Arrays x, int axis) {
  const Shape shape = x[0].shape.inserted(axis, static_cast<std::int64_t>(x.size()));
  return make_array(shape, [&](const Index& i) {
    Index from = i;
    from.erase(from.begin() + axis);
    return x[static_cast<std::size_t>(at(i, axis))].at(from);
  });
}
Array selected(const Array& x, int axis, std::int64_t index) {
  return make_array(x.shape.removed(axis), [&](const Index& i) {
    Index from = i;
    from.insert(from.begin() + axis, index < 0 ? index + x.shape[axis] : index);
    return x.at(from);
  });
}
Array sliced(const Array& x, int axis, std::int64_t start, std::int64_t stop, std::int64_t step) {
  return make_array(x.shape.with(axis, (stop - start + step - 1) / step), [&](const Index& i) {
    return x.at(with(i, axis, start + step * at(i, axis)));
  });
}
Array combined(const Array& a, const Array& b, double (*f)(double, double)) {
  const Array both[] = {a, b};
  return each2(f)(both);
}

}  // namespace

std::vector<RandomOp> shape_rows() {
  return {
      {"reshape", "reshape($0, {#*})", draw_sizes,
       [](Inputs x, const Step& s) { return reshape(x[0], shape_of(s.ints)); },
       [](Arrays x, const Step& s) {
         return Array{shape_of(s.ints), x[0].values};
       }},
      {"transpose", "transpose($0)",
       [](Draw& d, Step& s) {
         s.args = {d.value(2)};
         return true;
       },
       [](Inputs x, const Step&) { return transpose(x[0]); },
       [](Arrays x, const Step&) { return transposed(x[0]); }},
      {"permute", "permute($0, {#*})", draw_order,
       [](Inputs x, const Step& s) {
         const std::vector<int> order(s.ints.begin(), s.ints.end());
         return permute(x[0], order);
       },
       [](Arrays x, const Step& s) { return permuted(x[0], s.ints); }},
      {"insert_axis", "insert_axis($0, #0)",
       [](Draw& d, Step& s) {
         s.args = {d.value()};
         s.ints = {d.below(d.shape(s.args[0]).rank() + 1)};
         return true;
       },
       [](Inputs x, const Step& s) { return insert_axis(x[0], as_int(s.ints[0])); },
       [](Arrays x, const Step& s) {
         return Array{x[0].shape.inserted(as_int(s.ints[0]), 1), x[0].values};
       }},
      {"expand", "expand($0, {#*})",
       [](Draw& d, Step& s) {
         s.args = {d.value()};
         s.ints = sizes_of(d.shape(s.args[0]));
         for (std::int64_t& size : s.ints) size = size == 1 ? d.size() : size;
         if (d.chance(0.5)) s.ints.insert(s.ints.begin(), d.size());
         return true;
       },
       [](Inputs x, const Step& s) { return expand(x[0], shape_of(s.ints)); },
       [](Arrays x, const Step& s) {
         return make_array(shape_of(s.ints), [&](const Index& i) { return x[0].at(i); });
       }},
      {"sum_to", "sum_to($0, {#*})",
       [](Draw& d, Step& s) {
         s.args = {d.value(1)};
         s.ints = sizes_of(d.shape(s.args[0]));
         for (std::int64_t& size : s.ints) size = d.chance(0.5) ? 1 : size;
         s.ints.erase(s.ints.begin(),
                      s.ints.begin() + d.below(static_cast<std::int64_t>(s.ints.size())));
         return true;
       },
       [](Inputs x, const Step& s) { return sum_to(x[0], shape_of(s.ints)); },
       [](Arrays x, const Step& s) {
         std::vector<int> axes;
         const int dropped = x[0].shape.rank() - as_int(static_cast<std::int64_t>(s.ints.size()));
         for (int axis = 0; axis < x[0].shape.rank(); ++axis) {
           if (axis < dropped || s.ints[static_cast<std::size_t>(axis - dropped)] == 1) {
             axes.push_back(axis);
           }
         }
         return Array{shape_of(s.ints), reduced(x[0], axes, true, sum_of).values};
       }},
      {"tril", "tril($0, #0)",
       [](Draw& d, Step& s) {
         s.args = {d.value(2)};
         s.ints = {d.below(3) - 1};
         return true;
       },
       [](Inputs x, const Step& s) { return tril(x[0], s.ints[0]); },
       [](Arrays x, const Step& s) {
         return make_array(x[0].shape, [&](const Index& i) {
           return i[i.size() - 1] <= i[i.size() - 2] + s.ints[0] ? x[0].at(i) : 0.0;
         });
       }},
      along(
          "flip", "flip($0, #0)", 1, [](Draw&, std::int64_t, Step&) {},
          [](const Var& x, const Step& s) { return flip(x, as_int(s.ints[0])); },
          [](const Array& x, const Step& s) {
            const int axis = as_int(s.ints[0]);
            return make_array(x.shape, [&](const Index& i) {
              return x.at(with(i, axis, x.shape[axis] - 1 - at(i, axis)));
            });
          }),
      along(
          "slice", "slice($0, #0, #1, #2, #3)", 1,
          [](Draw& d, std::int64_t size, Step& s) {
            const std::int64_t start = d.below(size);
            s.ints.insert(s.ints.end(), {start, start + 1 + d.below(size - start), 1 + d.below(3)});
          },
          [](const Var& x, const Step& s) {
            return slice(x, as_int(s.ints[0]), s.ints[1], s.ints[2], s.ints[3]);
          },
          [](const Array& x, const Step& s) {
            return sliced(x, as_int(s.ints[0]), s.ints[1], s.ints[2], s.ints[3]);
          }),
      along(
          "select_index", "select_index($0, #0, #1)", 1,
          [](Draw& d, std::int64_t size, Step& s) { s.ints.push_back(d.below(2 * size) - size); },
          [](const Var& x, const Step& s) { return select_index(x, as_int(s.ints[0]), s.ints[1]); },
          [](const Array& x, const Step& s) { return selected(x, as_int(s.ints[0]), s.ints[1]); }),
      along(
          "split", "concat({split($0, {#1, rest}, #0)[1], [0]}, #0)", 2,
          [](Draw& d, std::int64_t size, Step& s) {
            const std::int64_t first = 1 + d.below(size - 1);
            s.ints.insert(s.ints.end(), {first, size - first});
          },
          [](const Var& x, const Step& s) {
            const auto parts = split(x, std::span(s.ints).subspan(1), as_int(s.ints[0]));
            return concat({parts[1], parts[0]}, as_int(s.ints[0]));
          },
          [](const Array& x, const Step& s) {
            const int axis = as_int(s.ints[0]);
            return make_array(x.shape, [&](const Index& i) {
              return x.at(with(i, axis, (at(i, axis) + s.ints[1]) % x.shape[axis]));
            });
          }),
      along(
          "chunk", "p[0] * p.back() of p = chunk($0, #1, #0)", 1,
          [](Draw& d, std::int64_t size, Step& s) { s.ints.push_back(d.chance(0.5) ? size : 1); },
          [](const Var& x, const Step& s) {
            const auto parts = chunk(x, as_int(s.ints[1]), as_int(s.ints[0]));
            return parts[0] * parts[parts.size() - 1];
          },
          [](const Array& x, const Step& s) {
            const int axis = as_int(s.ints[0]);
            const std::int64_t size = x.shape[axis], part = size / s.ints[1];
            return combined(sliced(x, axis, 0, part, 1), sliced(x, axis, size - part, size, 1),
                            [](double a, double b) { return a * b; });
          }),
      along(
          "unstack", "p[0] - p.back() of p = unstack($0, #0)", 2, [](Draw&, std::int64_t, Step&) {},
          [](const Var& x, const Step& s) {
            const auto parts = unstack(x, as_int(s.ints[0]));
            return parts[0] - parts[parts.size() - 1];  // the others are not used
          },
          [](const Array& x, const Step& s) {
            const int axis = as_int(s.ints[0]);
            return combined(selected(x, axis, 0), selected(x, axis, -1),
                            [](double a, double b) { return a - b; });
          }),
      {"concat", "concat({$0, $1, $2}, #0)",
       [](Draw& d, Step& s) { return draw_parts(d, s, false); },
       [](Inputs x, const Step& s) { return concat(x, as_int(s.ints[0])); },
       [](Arrays x, const Step& s) { return concatenated(x, as_int(s.ints[0])); }},
      {"stack", "stack({$0, $1, $2}, #0)", [](Draw& d, Step& s) { return draw_parts(d, s, true); },
       [](Inputs x, const Step& s) { return stack(x, as_int(s.ints[0])); },
       [](Arrays x, const Step& s) { return stacked(x, as_int(s.ints[0])); }},
  };
}

}  // namespace tapeloop::test
