// SPDX-License-Identifier: MIT
// Vars: handles on shared bodies, and the gradient of a parameter.
#include "tapeloop/autograd/tape/var.h"

#include <new>
#include <thread>

#include "tapeloop/autograd/tensor/error.h"
#include "tapeloop/autograd/tensor/memory.h"

namespace tapeloop {

using detail::GradLock;
using detail::VarBody;

// Constructs the value, the result of make(), in place.
template <class Make>
static VarBody* new_body(Make make) {
  memory::Account* account = nullptr;
  void* const place = memory::allocate(sizeof(VarBody), account);
  try {
    return new (place) VarBody{.value = make(), .grad = {}, .account = account};
  } catch (...) {
    memory::release(place, sizeof(VarBody), account);
    throw;
  }
}

void detail::delete_body(VarBody* body) noexcept {
  memory::Account* const account = body->account;
  body->~VarBody();
  memory::release(body, sizeof(VarBody), account);
}

Var::Var(const Tensor& value) : Var(Tensor(value)) {}
Var::Var(Tensor&& value)
    : body_(value.defined() ? new_body([&] { return std::move(value); }) : nullptr) {}

Var detail::empty_variable(const Shape& shape, DType dtype, Device device) {
  return Var(new_body([&] { return Tensor::empty(shape, dtype, device); }));
}

Var& Var::operator=(const Var& other) {
  Var copy(other);
  return *this = std::move(copy);
}

// Waits while another thread adds its gradient: about the time of one addition.
void detail::GradLock::wait() const {
  while (body_.grad_in_use.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
}

void detail::undefined_variable() {
  fail("var", "an undefined variable was used; assign it a tensor first");
}

Var Var::detach() const { return Var(value()); }

static VarBody* parameter_body(const char* what, const Var& var) {
  if (!var.is_parameter()) {
    fail(what,
         "only a parameter has a gradient of its own, and this variable is a computed value or a "
         "constant; make it by parameter(tensor), or call tape.gradient(loss, {x})");
  }
  return var.body();
}

// Releases the old gradient after the lock.
static void exchange_grad(VarBody& body, Var grad) {
  const GradLock lock(body);
  body.grad = std::move(grad);
}

Var Var::grad() const {
  VarBody* body = parameter_body("grad", *this);
  const GradLock lock(*body);
  return body->grad;
}
void Var::zero_grad() const { exchange_grad(*parameter_body("zero_grad", *this), Var()); }

void Var::set_grad(const Var& grad) const {
  VarBody* body = parameter_body("set_grad", *this);
  if (grad.defined() && grad.shape() != shape()) {
    fail("set_grad",
         "the gradient is " + grad.value().describe() + ", the parameter " + value().describe());
  }
  exchange_grad(*body, grad);
}

void Var::set_value(const Tensor& value) const {
  // A constant that no tape has recorded may be a buffer of a module.
  VarBody* body =
      defined() && this->body()->tape_id == 0 ? this->body() : parameter_body("set_value", *this);
  if (value.shape() != shape()) {
    fail("set_value", "the new value is " + value.describe() + ", the parameter " +
                          body->value.describe() + "; shapes must be equal");
  }
  if (!value.defined() || value.dtype() == DType::int64) {
    fail("set_value",
         value.describe() + " cannot have a gradient; give a float32 or float64 tensor");
  }
  body->value = value;
  exchange_grad(*body, Var());
}

Var detail::same_variable(const Var& x, const Tensor& value) {
  Var result(value);
  result.body_->slot = x.body_->slot;
  result.body_->tape_id = x.body_->tape_id;
  return result;
}

Var parameter(const Tensor& value) {
  if (!value.defined() || value.dtype() == DType::int64) {
    fail("parameter",
         value.describe() + " cannot have a gradient; give a float32 or float64 tensor");
  }
  Var result(value);
  result.body_->is_parameter = true;
  return result;
}

}  // namespace tapeloop
