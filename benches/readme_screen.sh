#!/usr/bin/env bash
# The screen that README.md shows: the quickstart's last one, in a terminal of 80 by 24, as text. Needs tmux.
# Usage: benches/readme_screen.sh [PATH-TO-TUNE [RUN]]; without RUN, a finished quickstart, it trains one.
set -euo pipefail
cd "$(dirname "$0")/.."
tune=$(realpath "${1:-target/release/tune}")
place=$(mktemp -d)
session=screen-$$
finish() { tmux -L "$session" kill-server 2>/dev/null || true; rm -rf "$place"; }
trap finish EXIT

run=${2:-$place/quickstart}
[ -d "$run" ] || "$tune" run configs/quickstart.toml --plain --out "$run" >&2
LC_ALL=C.UTF-8 tmux -L "$session" -f /dev/null new-session -d -s "$session" -x 80 -y 24 "exec '$tune' watch '$run'"
for _ in $(seq 100); do
  if tmux -L "$session" capture-pane -p -t "$session" | grep -q "ended: "; then
    # A frame may be half way to the terminal.
    sleep 0.5
    tmux -L "$session" capture-pane -p -t "$session" | sed 's/ *$//'
    exit 0
  fi
  sleep 0.1
done
echo "$run: no ended run came on the screen" >&2
exit 1
