// SPDX-License-Identifier: MIT
// The cells that can be chosen by name. To add one: a line in the list at the end.
#include "tapeloop/nn/choice/registry.h"

#include "tapeloop/nn/cells/cells.h"

namespace tapeloop::nn::detail {

namespace {

template <class Options>
OptionTable table_of(Options& options) {
  OptionTable table;
  if constexpr (HasNamedOptions<Options>) options.visit(table);
  return table;
}

template <Cell C>
std::shared_ptr<const ErasedCell> make(const RecurrentOptions& options, Random& random,
                                       const NamedValues& own) {
  OptionsOf<C> values;
  const OptionTable table = table_of(values);
  for (const auto& [option, value] : own) table.find(option)->set(value);
  return std::make_shared<ErasedCellOf<C>>(make_cell<C>(options, random, values));
}

template <Cell C>
void with_options(const std::function<void(const OptionTable&)>& f) {
  OptionsOf<C> values;
  f(table_of(values));
}

template <Cell C>
constexpr RegisteredCell cell(const char* name) {
  return {name, kReadsTime<C>, kEqualSizes<C>, make<C>, with_options<C>};
}

}  // namespace

std::span<const RegisteredCell> registered_cells() {
  static constexpr RegisteredCell kCells[] = {
      cell<ClockworkCell>("clockwork"),
      cell<FullGateLstmCell>("full_gate_lstm"),
      cell<GruCell>("gru"),
      cell<IndRnnCell>("indrnn"),
      cell<LayerNormGruCell>("layer_norm_gru"),
      cell<LayerNormLstmCell>("layer_norm_lstm"),
      cell<LmuCell>("lmu"),
      cell<LruCell>("lru"),
      cell<LstmCell>("lstm"),
      cell<MguCell>("mgu"),
      cell<MinGruCell>("min_gru"),
      cell<MinLstmCell>("min_lstm"),
      cell<MlstmCell>("mlstm"),
      cell<MutCell>("mut"),
      cell<PeepholeLstmCell>("peephole_lstm"),
      cell<PhasedLstmCell>("phased_lstm"),
      cell<QrnnCell>("qrnn"),
      cell<RecurrentHighwayCell>("recurrent_highway"),
      cell<RnnCell>("rnn"),
      cell<S4dCell>("s4d"),
      cell<SlstmCell>("slstm"),
      cell<SruCell>("sru"),
      cell<UgrnnCell>("ugrnn"),
  };
  return kCells;
}

}  // namespace tapeloop::nn::detail
