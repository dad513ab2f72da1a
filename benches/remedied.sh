#!/usr/bin/env bash
# What the quickstart's advice is worth: runs it as it is and as its advice has it, on the same rows
# and seed, and compares their best evaluations pairwise. Takes about four minutes on two CPU cores.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for name in quickstart remedied; do
  target/release/tune run "configs/$name.toml" --plain --out "$out/$name"
done
target/release/tune compare "$out/quickstart" "$out/remedied"
