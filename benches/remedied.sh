#!/usr/bin/env bash
# What fewer epochs, dropout and the like are worth: runs the quickstart as it is and as
# configs/remedied.toml has it, on the same rows and seed, and compares their best evaluations pairwise. Takes about four minutes on two CPU cores.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for name in quickstart remedied; do
  target/release/tune run "configs/$name.toml" --plain --out "$out/$name"
done
target/release/tune compare "$out/quickstart" "$out/remedied"
