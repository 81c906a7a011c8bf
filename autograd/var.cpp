// SPDX-License-Identifier: MIT
// Vars: handles on shared bodies, and the gradient of a parameter.
#include "autograd/var.h"

#include <new>

#include "autograd/error.h"
#include "autograd/memory.h"

namespace tapeloop {

using detail::VarBody;

static VarBody* new_body(Tensor&& value) {
  return new (memory::allocate(sizeof(VarBody)))
      VarBody{.references{1}, .value = std::move(value), .grad = {}};
}

void detail::delete_body(VarBody* body) noexcept {
  body->~VarBody();
  memory::release(body, sizeof(VarBody));
}

Var::Var(const Tensor& value) : Var(Tensor(value)) {}
Var::Var(Tensor&& value) : body_(value.defined() ? new_body(std::move(value)) : nullptr) {}

Var& Var::operator=(const Var& other) {
  Var copy(other);
  return *this = std::move(copy);
}

void detail::undefined_variable() {
  fail("var", "an undefined variable was used; assign it a tensor first");
}

Var Var::detach() const { return Var(value()); }

static VarBody* parameter_body(const char* what, const Var& var) {
  if (!var.is_parameter()) {
    fail(what,
         "only a parameter has it, this is a computed value or a constant; make it by "
         "parameter(tensor), "
         "or ask tape.gradient(loss, {x})");
  }
  return var.body();
}

Var Var::grad() const { return parameter_body("grad", *this)->grad; }
void Var::zero_grad() const { parameter_body("zero_grad", *this)->grad = Var(); }

void Var::set_grad(const Var& grad) const {
  VarBody* body = parameter_body("set_grad", *this);
  if (grad.defined() && grad.shape() != shape()) {
    fail("set_grad",
         "the gradient is " + grad.value().describe() + ", the parameter " + value().describe());
  }
  body->grad = grad;
}

void Var::set_value(const Tensor& value) const {
  VarBody* body = parameter_body("set_value", *this);
  if (value.shape() != shape()) {
    fail("set_value", "the new value is " + value.describe() + ", the parameter " +
                          body->value.describe() + "; shapes must be equal");
  }
  if (!value.defined() || value.dtype() == DType::int64) {
    fail("set_value",
         value.describe() + " cannot have a gradient; give a float32 or float64 tensor");
  }
  body->value = value;
  body->grad = Var();
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
