// SPDX-License-Identifier: MIT
// Tensors: views, copies, bounds, lifetimes, impossible sizes, and the texts of errors. Tests no
// gradients.
#include <random>
#include <thread>

#include "tests/support.h"

namespace tapeloop::test {
namespace {

// 0, 1, 2, ... in the given shape.
Tensor counted(const Shape& shape, DType dtype = DType::float32) {
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  return Tensor::from(shape, values).to(dtype);
}
using Values = std::vector<double>;
Values values(const Tensor& tensor) { return tensor.to_vector<double>(); }

bool is_view_of(const Tensor& view, const Tensor& tensor) {
  const Tensor before = tensor.clone();
  tensor.fill(-77);
  const bool follows = view.to_vector<double>()[0] == -77;
  tensor.copy_from(before);
  return follows;
}

}  // namespace

TEST_CASE("views show the right elements, and writing through a view changes its source") {
  const Tensor x = counted({2, 3});
  CHECK(values(x.transpose(0, 1)) == Values{0, 3, 1, 4, 2, 5});
  CHECK(values(x.slice(1, 0, 3, 2)) == Values{0, 2, 3, 5});
  CHECK(values(x.slice(-1, 1, 3)) == Values{1, 2, 4, 5});
  CHECK(values(x.select(0, -1)) == Values{3, 4, 5});
  CHECK(values(x.flip(1)) == Values{2, 1, 0, 5, 4, 3});
  CHECK(values(x.flip(0).flip(1).select(0, 0)) == Values{5, 4, 3});
  CHECK(values(x.insert_axis(1).expand({2, 2, 3})) == Values{0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5});
  const int order[] = {1, -2};
  CHECK(values(x.permute(order)) == Values{0, 3, 1, 4, 2, 5});
  CHECK(x.insert_axis(-1).shape() == Shape{2, 3, 1});
  x.transpose(0, 1).select(0, 1).fill(9);
  CHECK(values(x) == Values{0, 9, 2, 3, 9, 5});
  x.flip(1).slice(1, 0, 1).copy_from(Tensor::from<float>({2, 1}, {7, 8}));
  CHECK(values(x) == Values{0, 9, 7, 3, 9, 8});
}

TEST_CASE("reshape is a view where strides allow, and a copy with the right elements where not") {
  const Tensor x = counted({2, 3, 4});
  CHECK(is_view_of(x.reshape({6, 4}), x));
  CHECK(is_view_of(x.reshape({2, 1, 3, 2, 2}), x));
  CHECK(is_view_of(x.transpose(0, 1).reshape({3, 2, 2, 2}), x));
  const Tensor y = counted({2, 3});
  CHECK_FALSE(is_view_of(y.transpose(0, 1).reshape({6}), y));
  CHECK(values(y.transpose(0, 1).reshape({6})) == Values{0, 3, 1, 4, 2, 5});
  CHECK(values(y.flip(1).reshape({6})) == Values{2, 1, 0, 5, 4, 3});
  CHECK(values(counted({7}).slice(0, 0, 6, 2).reshape({3, 1})) == Values{0, 2, 4});
  CHECK(counted({1, 1}).reshape({}).item() == 0);
  CHECK(counted({}).reshape({1, 1, 1}).shape() == Shape{1, 1, 1});
}

TEST_CASE("reshape of stretched axes keeps every element, whichever axes are stretched") {
  const Tensor column = counted({2, 1, 1, 2});
  const Tensor stretched = column.expand({2, 3, 2, 2});
  const Values all = values(stretched.clone());
  for (const Shape& shape : {Shape{6, 2, 2}, Shape{2, 6, 2}, Shape{2, 3, 4}, Shape{12, 2},
                             Shape{24}, Shape{2, 3, 2, 2}}) {
    CAPTURE(shape.str());
    CHECK(values(stretched.reshape(shape)) == all);
  }
  CHECK(values(counted({2, 1}).expand({2, 2}).reshape({4})) == Values{0, 0, 1, 1});
  CHECK(values(counted({1, 2}).expand({2, 2}).reshape({4})) == Values{0, 1, 0, 1});
  CHECK(values(counted({}).expand({2, 2}).reshape({4})) == Values{0, 0, 0, 0});
}

TEST_CASE("random chains of views agree with element-by-element copies") {
  std::mt19937_64 engine(kSeed);
  const auto draw = [&](std::int64_t below) {
    return static_cast<std::int64_t>(engine() % static_cast<std::uint64_t>(below));
  };
  for (int trial = 0; trial < 300; ++trial) {
    Tensor view = counted({2, 3, 4}, DType::float64);
    Array copy = array_of(view);
    for (int step = 0; step < 6; ++step) {
      const int axis = static_cast<int>(draw(view.rank()));
      const std::int64_t size = view.dim(axis);
      switch (draw(5)) {
        case 0: {
          const int other = static_cast<int>(draw(view.rank()));
          view = view.transpose(axis, other);
          Shape shape = copy.shape;
          std::swap(shape[axis], shape[other]);
          copy = make_array(shape, [&](Index i) {
            std::swap(i[static_cast<std::size_t>(axis)], i[static_cast<std::size_t>(other)]);
            return copy.at(i);
          });
          break;
        }
        case 1: {
          view = view.flip(axis);
          copy = make_array(copy.shape, [&](Index i) {
            i[static_cast<std::size_t>(axis)] = size - 1 - i[static_cast<std::size_t>(axis)];
            return copy.at(i);
          });
          break;
        }
        case 2: {
          const std::int64_t start = draw(size);
          const std::int64_t by = 1 + draw(3);
          view = view.slice(axis, start, size, by);
          copy = make_array(copy.shape.with(axis, (size - start + by - 1) / by), [&](Index i) {
            i[static_cast<std::size_t>(axis)] = start + by * i[static_cast<std::size_t>(axis)];
            return copy.at(i);
          });
          break;
        }
        case 3: {
          if (view.rank() > 4) break;
          view = view.insert_axis(axis).expand(view.shape().inserted(axis, 2));
          copy = make_array(copy.shape.inserted(axis, 2), [&](Index i) {
            i.erase(i.begin() + axis);
            return copy.at(i);
          });
          break;
        }
        default: {
          const Shape shape = axis + 1 < view.rank()
                                  ? view.shape().removed(axis).with(axis, size * view.dim(axis + 1))
                                  : Shape{view.numel()};
          view = view.reshape(shape);
          copy.shape = shape;
          break;
        }
      }
      REQUIRE(view.shape() == copy.shape);
      REQUIRE(values(view) == copy.values);
    }
  }
}

TEST_CASE("copies convert between all element types, from and to any strides") {
  for (const DType from : {DType::float32, DType::float64, DType::int64}) {
    for (const DType to : {DType::float32, DType::float64, DType::int64}) {
      const Tensor target = Tensor::zeros({3, 2}, to);
      target.flip(0).copy_from(counted({2, 3}, from).transpose(0, 1));
      CHECK(values(target) == Values{2, 5, 1, 4, 0, 3});
    }
  }
  CHECK(Tensor::from<double>({3}, {-1.75, 0.5, 2.5}).to(DType::int64).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{-1, 0, 2});
  const Tensor x = counted({2});
  CHECK(x.clone().to_vector<float>() == x.to_vector<float>());
  CHECK_FALSE(x.clone().shares_memory_with_others());
  CHECK(same_bits(x.contiguous(), x));
  CHECK(to_string(Tensor::from<double>({2}, {1.5, -2})) == "float64[2] {1.5, -2}");
}

TEST_CASE(
    "a view keeps its memory alive after its source is gone, and copies of handles share "
    "elements") {
  Tensor view;
  {
    const Tensor source = counted({1000, 3});
    view = source.slice(0, 998, 1000);
  }
  memory::release_cached();
  CHECK(values(view) == Values{2994, 2995, 2996, 2997, 2998, 2999});
  CHECK_FALSE(view.shares_memory_with_others());
  const Tensor other = view;
  other.fill(1);
  CHECK(values(view) == Values(6, 1.0));
  Tensor moved = std::move(view);
  CHECK_FALSE(view.defined());  // NOLINT(bugprone-use-after-move)
  CHECK(moved.numel() == 6);
}

TEST_CASE("a copy between overlapping views of one memory reads everything before it writes") {
  const auto numbers = [] { return Tensor::from<double>({6}, {1, 2, 3, 4, 5, 6}); };
  Tensor x = numbers();
  x.slice(0, 1, 6).copy_from(x.slice(0, 0, 5));
  CHECK(x.to_vector<double>() == Values{1, 1, 2, 3, 4, 5});
  x = numbers();
  x.slice(0, 0, 5).copy_from(x.slice(0, 1, 6));
  CHECK(x.to_vector<double>() == Values{2, 3, 4, 5, 6, 6});
  x = numbers();
  x.copy_from(x.flip(0));
  CHECK(x.to_vector<double>() == Values{6, 5, 4, 3, 2, 1});
  const Tensor square = Tensor::from<double>({2, 2}, {1, 2, 3, 4});
  square.copy_from(square.transpose(0, 1));
  CHECK(square.to_vector<double>() == Values{1, 3, 2, 4});
}

TEST_CASE("bad views and bad reads say what was given and what would fit") {
  const Tensor x = counted({2, 3});
  CHECK(throws_with("axis: 2 is not an axis of [2, 3]; give -2 to 1", [&] { x.transpose(0, 2); }));
  CHECK(throws_with("select: index 3 is outside axis 1 of [2, 3]", [&] { x.select(1, 3); }));
  CHECK(throws_with("select: index -4", [&] { x.select(1, -4); }));
  CHECK(throws_with("slice: [1:4:1] of axis 1 of [2, 3]: need 0 <= start <= stop <= 3",
                    [&] { x.slice(1, 1, 4); }));
  CHECK(throws_with("slice: [2:1:1]", [&] { x.slice(1, 2, 1); }));
  CHECK(throws_with("slice: [0:2:0]|step >= 1", [&] { x.slice(1, 0, 2, 0); }));
  CHECK(throws_with("expand: [2, 3] cannot be expanded to [4, 3]", [&] { x.expand({4, 3}); }));
  CHECK(throws_with("expand", [&] { x.expand({3}); }));
  CHECK(throws_with("reshape: [2, 3] has 6 elements, [4] has 4; both must have as many",
                    [&] { x.reshape({4}); }));
  const int twice[] = {0, 0};
  CHECK(throws_with("permute: [0, 0] does not name each axis of [2, 3] once",
                    [&] { x.permute(twice); }));
  CHECK(throws_with(
      "tensor: data<float64>() was called on float32[2, 3]|convert it by to(DType::float64)",
      [&] { x.data<double>(); }));
  CHECK(throws_with("item: float32[2, 3] does not hold exactly one element", [&] { x.item(); }));
  CHECK(throws_with("tensor: 1 indices were given for float32[2, 3]", [&] { x.at({1}); }));
  CHECK(throws_with("select: index 7", [&] { x.at({0, 7}); }));
  CHECK(throws_with(
      "copy_from: the source is float32[2, 3], this tensor is float32[3, 2]; shapes must be equal",
      [&] {
        counted({3, 2}).copy_from(x);
      }));
  CHECK(throws_with("tensor: 3 values were given for shape [2], which holds 2", [&] {
    Tensor::from<float>({2}, {1, 2, 3});
  }));
  CHECK(x.at({1, -1}) == 5);
}

TEST_CASE("an undefined tensor throws wherever it is used") {
  const Tensor none;
  CHECK_FALSE(none.defined());
  CHECK(none.describe() == "an undefined tensor");
  CHECK(to_string(none) == "an undefined tensor");
  const std::vector<std::function<void()>> uses = {[&] { none.fill(1); },
                                                   [&] { none.clone(); },
                                                   [&] { none.reshape({1}); },
                                                   [&] { none.insert_axis(0); },
                                                   [&] { none.expand({3}); },
                                                   [&] { none.permute({}); },
                                                   [&] { none.transpose(0, 0); },
                                                   [&] { none.to(DType::int64); },
                                                   [&] { none.to_vector<float>(); },
                                                   [&] { none.item(); },
                                                   [&] { none.data<float>(); },
                                                   [&] { none.contiguous(); },
                                                   [&] { none.slice(0, 0, 0); },
                                                   [&] { none.flip(0); },
                                                   [&] { add_in_place(none, none); },
                                                   [&] { Tensor::zeros({}).copy_from(none); },
                                                   [&] { none.copy_from(Tensor::zeros({})); }};
  for (std::size_t i = 0; i < uses.size(); ++i) {
    CAPTURE(i);
    CHECK_THROWS_AS(uses[i](), Error);
  }
}

TEST_CASE("sizes of zero work in every view and copy") {
  for (const Shape& shape : {Shape{0}, Shape{0, 3}, Shape{3, 0}, Shape{2, 0, 3}}) {
    CAPTURE(shape.str());
    const Tensor x = Tensor::zeros(shape);
    CHECK(x.numel() == 0);
    CHECK(x.is_contiguous());
    CHECK(values(x.transpose(0, -1)).empty());
    CHECK(values(x.flip(0)).empty());
    CHECK(x.reshape({0}).shape() == Shape{0});
    CHECK(x.reshape({5, 0, 2}).shape() == Shape{5, 0, 2});
    CHECK(x.clone().shape() == shape);
    CHECK(x.to(DType::int64).shape() == shape);
    CHECK(x.insert_axis(0).expand(shape.inserted(0, 4)).numel() == 0);
    CHECK(values(x.slice(0, 0, 0)).empty());
  }
  CHECK(throws_with("select: index 0 is outside axis 0 of [0]",
                    [] { Tensor::zeros({0}).select(0, 0); }));
  CHECK(throws_with("item", [] { Tensor::zeros({0}).item(); }));
}

TEST_CASE(
    "shapes that cannot be are refused by name: too many axes, negative sizes, too many elements") {
  CHECK(Shape{1, 2, 3, 4, 5, 6}.rank() == 6);
  CHECK(throws_with("shape: [1, 1, 1, 1, 1, 1, 1] has 7 axes, at most 6",
                    [] { Shape{1, 1, 1, 1, 1, 1, 1}; }));
  CHECK(throws_with("has 6 axes, the most that are supported", [] {
    Tensor::zeros({1, 1, 1, 1, 1, 1}).insert_axis(0);
  }));
  CHECK(throws_with("shape: [2, -1] is not a shape", [] { Tensor::zeros({2, -1}); }));
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  CHECK(throws_with("must fit in 63 bits", [] { Tensor::zeros({kHuge, kHuge}); }));
  CHECK(throws_with("must fit in 63 bits", [] { Tensor::zeros({kHuge, kHuge, 0}); }));
  CHECK(throws_with("insert an axis at 3 into [2]; give 0 to 1",
                    [] { Tensor::zeros({2}).insert_axis(3); }));
}

TEST_CASE(
    "more memory than there is gives an error that says what to do, and the library works on") {
  const memory::Stats before = memory::stats();
  for (const std::int64_t elements :
       {std::int64_t{1} << 46, std::int64_t{1} << 54, std::int64_t{1} << 58, std::int64_t{1} << 60,
        std::int64_t{1} << 61, INT64_MAX}) {
    CAPTURE(elements);
    CHECK_THROWS_AS(Tensor::empty({elements}), Error);
  }
  CHECK(throws_with("memory: the system refused a block of|batch smaller",
                    [] { Tensor::empty({std::int64_t{1} << 56}); }));
  CHECK(throws_with("needs more memory than any machine has",
                    [] { Tensor::empty({INT64_MAX}, DType::float64); }));
  CHECK(memory::stats().live_bytes == before.live_bytes);
  CHECK(memory::stats().peak_bytes < (std::int64_t{1} << 40));
  CHECK(values(Tensor::full({2}, 3)) == Values{3, 3});
}

TEST_CASE("a stretched tensor costs no memory, but a result too large to hold is an error") {
  constexpr std::int64_t kSide = std::int64_t{1} << 32;
  const Tensor row = Tensor::full({1, 1}, 2).expand({1, kSide});
  const Tensor column = Tensor::full({1, 1}, 2).expand({kSide, 1});
  CHECK(row.numel() == kSide);
  CHECK(row.at({0, kSide - 1}) == 2);
  CHECK(throws_with("needs more memory than any machine has", [&] { Var(row) * Var(column); }));
  CHECK(throws_with("", [&] { Tensor::full({1}, 2).expand({INT64_MAX / 2}).clone(); }));
  const Tensor longest = Tensor::full({1}, 2).expand({INT64_MAX});
  CHECK(throws_with("", [&] { concat({Var(longest), Var(longest)}, 0); }));
  CHECK(values(counted({5}).slice(0, 1, 5, INT64_MAX)) == Values{1});
}

TEST_CASE("a thread that only releases what another one took keeps a bounded part of it") {
  std::int64_t kept = 0;
  std::vector<Tensor> tensors(400);
  for (Tensor& tensor : tensors)
    tensor = Tensor::zeros({64 * 1024});  // 256 KiB each, 100 MiB in all
  std::thread consumer([&] {
    tensors.clear();
    kept = memory::stats().cached_bytes;
  });
  consumer.join();
  CHECK(kept <= (std::int64_t{2} << 20));
}

TEST_CASE("cuda tensors are refused clearly in a build or on a machine without a GPU") {
  std::string message = message_of([] { Tensor::zeros({2}, DType::float32, Device::cuda); });
  if (message == "nothing was thrown") {
    MESSAGE("a GPU is present: the error without one is not tested");
  } else {
    CHECK(message.find("cuda") != std::string::npos);
  }
}

}  // namespace tapeloop::test
