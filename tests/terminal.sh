#!/usr/bin/env bash
# The dashboard in a real terminal: a run from its first frame to its end, with keys, resizes down to
# 20x5, and the terminal given back; a run that is left in the background and taken up again; a panic.
# Usage: tests/terminal.sh PATH-TO-TUNE PATH-TO-THE-TESTS. Needs tmux.
set -euo pipefail
tune=$(realpath "$1")
tests=$(realpath "$2")
place=$(mktemp -d)
session=tune-$$
screen() { tmux -L "$session" capture-pane -p -t "$session"; }
finish() {
  # What was left in the background must not go on after a test that failed.
  if [ -d "$place/two" ]; then mkdir -p "$place/two/control" && touch "$place/two/control/interrupt" && sleep 1; fi
  tmux -L "$session" kill-server 2>/dev/null || true
  rm -rf "$place"
}
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

# A terminal without colours and Unicode gets neither, and one whose cursor cannot be moved lines of text.
keys "clear; LC_ALL=C NO_COLOR=1 '$tune' watch one; echo exit=\$?" Enter
await "ended: on request"
await "@ best"
if screen | LC_ALL=C grep -q '[^ -~]'; then echo "not ASCII:" >&2; screen >&2; exit 1; fi
if tmux -L "$session" capture-pane -pe -t "$session" | grep -q $'\e\[[0-9;]*[34]8;5;'; then
  echo "colours in spite of NO_COLOR" >&2
  exit 1
fi
keys q
await "exit=0"
keys "clear; TERM=dumb '$tune' watch one; echo exit=\$?" Enter
await "Verdict: "
keys C-c
await READY
if [ "$(tmux -L "$session" display -p -t "$session" '#{alternate_on}')" != 0 ]; then
  echo "a screen on a dumb terminal" >&2
  exit 1
fi

# A run is left in the background; watching takes it up again, and its keys reach the trainer.
keys "clear; '$tune' run job.toml --out two; echo exit=\$?" Enter
await "◆ best"
keys d
await "two: runs in the background"
await "exit=0"
keys "clear; '$tune' watch two; echo exit=\$?" Enter
await "s stop & save"
keys P
await "PAUSED"
keys P
await "running"
keys v
await "asked to evaluate"
keys s
await "Stop the run?"
keys y
await "ended: on request"
keys q
await "exit=0"

# A panic on another thread than the one that draws.
keys "clear; TUNE_PANICS=1 '$tests' --exact terminal::panics_with_the_screen_taken --nocapture; stty -a" Enter
await "this panic is wanted"
await "given back"
await " icanon"
await " echo "

# A signal from elsewhere: the run is saved, and the screen does not hold its process up.
keys "clear; '$tune' run job.toml --out four; echo exit=\$?" Enter
await "◆ best"
pkill -INT -P "$(tmux -L "$session" list-panes -t "$session" -F "#{pane_pid}")"
await "exit=130"

# It goes on where it was, on a screen that stays; what is stopped and goes on draws it anew.
keys "clear; '$tune' run --resume four; echo exit=\$?" Enter
await "s stop & save"
# Found by its name: evaluations push it off the list.
keys 2
keys / r e s u m e d Enter
await "resumed from step"
pid=$(pgrep -P "$(tmux -L "$session" list-panes -t "$session" -F "#{pane_pid}")")
kill -STOP "$pid"
await "Stopped"
keys fg Enter
await "◆ best"
if screen | grep -q "Stopped"; then echo "not drawn anew:" >&2; screen >&2; exit 1; fi
keys C-c
await "everything is saved"

# The terminal goes away: the run is saved and ends, and nothing of it is left over.
pid=$(tmux -L "$session" list-panes -t "$session" -F '#{pane_pid}')
keys "clear; exec '$tune' run job.toml --out three" Enter
await "◆ best"
tmux -L "$session" kill-server
for _ in $(seq 300); do
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
if kill -0 "$pid" 2>/dev/null; then echo "the run outlives its terminal" >&2; kill -9 "$pid"; exit 1; fi
tail -n 1 "$place/three/run.jsonl" | grep -q '"reason":"interrupted"' || { echo "the run was not saved" >&2; exit 1; }
echo "the dashboard ran in a real terminal"
