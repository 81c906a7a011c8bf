# SPDX-License-Identifier: MIT
# Writes lines of JSON, as gpu_bench and bench/peers/torch_gpu_peer.py print them, as text: with -v each=1 one line for each
# time; otherwise one line for each row, with the fastest form of Tapeloop and of PyTorch and the ratio.

function value_of(key, found) {  # of the key in this line; "" if there is none
  if (!match($0, "\"" key "\": *(\"[^\"]*\"|[-+.0-9eE]+)")) return ""
  found = substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
  gsub(/^ *"|"$|^ */, "", found)
  return found
}
function text_of(seconds) {
  if (seconds < 1e-3) return sprintf("%.1f us", seconds * 1e6)
  if (seconds < 1) return sprintf("%.3f ms", seconds * 1e3)
  return sprintf("%.2f s", seconds)
}

/"peer": / { peer = value_of("peer"); next }
{
  row = value_of("row")
  variant = value_of("variant")
  seconds = value_of("seconds_per_step")
  if (row == "") next
  if (!(row in known)) { known[row] = 1; rows[++count] = row }
  if (seconds == "") {
    if (each) printf "  %12s  %s  %s: %s\n", "no time", row, variant, substr($0, index($0, "\"error\": ") + 9)
    next
  }
  if (each) printf "  %12s  %s  %s  %s\n", text_of(seconds + 0), row, variant, value_of("rate")
  if (!((peer, row) in best) || seconds + 0 < best[peer, row]) {
    best[peer, row] = seconds + 0
    form[peer, row] = variant
  }
}
END {
  if (each) exit
  print "The fastest form of each; PyTorch / Tapeloop above 1: Tapeloop is faster."
  for (i = 1; i <= count; ++i) {
    row = rows[i]
    cell = row
    sub("gpu/op_by_op/", "gpu/user_cell/", cell)  # PyTorch writes a user's cell op by op in both
    half = row
    if (!sub("/float32/", "/half/", half)) half = ""
    if (!(("Tapeloop", row) in best)) continue
    ours = best["Tapeloop", row]
    line = "  " row ": " text_of(ours) " (" form["Tapeloop", row] ")"
    if (("PyTorch", cell) in best) {
      line = line sprintf(", PyTorch %s (%s), PyTorch / Tapeloop %.2f", text_of(best["PyTorch", cell]),
        form["PyTorch", cell], best["PyTorch", cell] / ours)
    }
    if (("PyTorch", half) in best) {
      line = line sprintf(", in half precision %s (%.2f)", text_of(best["PyTorch", half]), best["PyTorch", half] / ours)
    }
    print line
  }
}
