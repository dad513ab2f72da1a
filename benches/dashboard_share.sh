#!/usr/bin/env bash
# What the dashboard costs a live run: the processor time of the thread that draws, as a share of that of
# the whole process, over half a minute of the quickstart at 120x40. Linux, tmux.
# Usage: benches/dashboard_share.sh [PATH-TO-TUNE [SECONDS]]
#
# Counted, not timed: what else the machine does meanwhile does not matter. The bound is 1 %.
set -euo pipefail
cd "$(dirname "$0")/.."
tune=$(realpath "${1:-target/release/tune}")
seconds=${2:-30}
place=$(mktemp -d)
session=share-$$
finish() { tmux -L "$session" kill-server 2>/dev/null || true; rm -rf "$place"; }
trap finish EXIT

LC_ALL=C.UTF-8 tmux -L "$session" -f /dev/null new-session -d -s "$session" -x 120 -y 40 \
  "exec '$tune' run configs/quickstart.toml --out '$place/run' --set early_stopping.enabled=false"
pid=$(tmux -L "$session" list-panes -t "$session" -F '#{pane_pid}')
until grep -q '"kind":"step"' "$place/run/run.jsonl" 2>/dev/null; do sleep 0.2; done

# Ticks of user and system time: of the first thread, which draws, and of all.
ticks() { sed 's/.*) //' "$1" | awk '{ print $12 + $13 }'; }
steps() { grep -c '"kind":"step"' "$place/run/run.jsonl"; }
draws=$(ticks "/proc/$pid/task/$pid/stat") all=$(ticks "/proc/$pid/stat") before=$(steps)
sleep "$seconds"
draws=$(($(ticks "/proc/$pid/task/$pid/stat") - draws)) all=$(($(ticks "/proc/$pid/stat") - all))
steps=$(($(steps) - before))
awk -v d="$draws" -v a="$all" -v n="$steps" -v hz="$(getconf CLK_TCK)" 'BEGIN {
  share = 100 * d / (a > d ? a - d : 1)
  printf "%d steps: %.0f ms of the processor a step, %.2f ms of it for the dashboard: %.2f %%, bound 1 %%%s\n",
    n, 1000 * a / hz / n, 1000 * d / hz / n, share, share < 1 ? "" : "  EXCEEDED"
  exit share < 1 ? 0 : 1
}'
