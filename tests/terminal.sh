#!/usr/bin/env bash
# The dashboard in a real terminal: a run from its first frame to its end, with keys, resizes down to
# 20x5, and the terminal given back. Usage: tests/terminal.sh PATH-TO-TUNE. Needs tmux.
set -euo pipefail
tune=$(realpath "$1")
place=$(mktemp -d)
session=tune-$$
screen() { tmux -L "$session" capture-pane -p -t "$session"; }
finish() { tmux -L "$session" kill-server 2>/dev/null || true; rm -rf "$place"; }
trap finish EXIT

# Waits until the screen has a text; says what it had where it never comes.
await() {
  for _ in $(seq 300); do
    if screen | grep -qF -- "$1"; then return; fi
    sleep 0.1
  done
  echo "'$1' never came:" >&2
  screen >&2
  exit 1
}
keys() { tmux -L "$session" send-keys -t "$session" "$@"; sleep 0.3; }

for i in $(seq 60); do
  echo "{\"prompt\": \"What is $i plus $i?\", \"completion\": \"It is $((i + i)).\"}"
done > "$place/rows.jsonl"
cat > "$place/job.toml" <<TOML
[data]
train = "rows.jsonl"
valid = 12
[train]
steps = 100000
batch_size = 2
[eval]
every_steps = 4
[early_stopping]
enabled = false
TOML

LC_ALL=C.UTF-8 tmux -L "$session" -f /dev/null new-session -d -s "$session" -x 120 -y 40 -c "$place" \
  "env LC_ALL=C.UTF-8 PS1='READY ' bash --norc --noprofile"
await READY
keys "'$tune' run job.toml --out one; echo exit=\$?" Enter
await "eval"
await "◆ best"
keys '?'
await "this help"
keys '?'
keys p
await "perplexity"
keys p
keys Left
await "lr "
keys Escape
keys '/' q u i t
await "/quit"
keys Escape
keys P
await "PAUSED"
keys P
# No size breaks it, however fast they come.
for size in "80 24" "20 5" "1 1" "40 12" "300 100" "120 40"; do
  read -r width height <<< "$size"
  tmux -L "$session" resize-window -t "$session" -x "$width" -y "$height"
  sleep 0.2
done
await "◆ best"
keys q
await "Stop the run?"
keys n
keys q
keys y
await "exit=0"
await "run folder: one"
# The terminal is as it was: what is typed is seen, and nothing of the dashboard is left.
keys "echo still\"\"here" Enter
await "stillhere"
for file in one/run.jsonl one/report.html one/best/adapter_model.safetensors; do
  test -s "$place/$file" || { echo "$file is missing" >&2; exit 1; }
done

# Watching it again changes nothing and ends with q.
keys "clear; '$tune' watch one; echo exit=\$?" Enter
await "ended: on request"
keys q
await "exit=0"
echo "the dashboard ran in a real terminal"
