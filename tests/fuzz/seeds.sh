#!/bin/bash
# Makes the corpus of each target of real logs: seeds.sh FOLDER-OF-LOGS... (default ../logs ../dialects).
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- ../logs ../dialects
folders=("$@")
copy() { # target, letters that say how it is read (- for none), pattern...
    local target=$1 letters=$2 pattern file letter
    shift 2
    mkdir -p "corpus/$target"
    for pattern in "$@"; do
        find "${folders[@]}" -type f -path "$pattern" | while read -r file; do
            for letter in $letters; do
                # The beginnings are enough, and small ones are faster.
                { printf '%s' "${letter#-}"; head -c 20000 "$file"; } \
                    > "corpus/$target/$letter$(echo "$file" | cksum | cut -d' ' -f1)"
            done
        done
    done
}
copy tfevents - '*tfevents*'
copy wandb - '*.wandb'
copy text - '*.log' '*.json*' '*.csv'
copy own - '*run.jsonl'
copy tables 'a b c d' '*.csv' '*.tsv'
copy jsonl 'a b c' '*.jsonl'
copy documents 'a b c d' '*.json'
copy utf16 - '*.log' '*.jsonl'
# No store of MLflow is among the logs: a run as it writes one, a file a metric, and what became of it.
mkdir -p corpus/mlflow
for status in 1 3 4; do
    for first in 0.001 0.5 2.4 2.5 2.6; do
        for step in 0 100 200 300; do
            echo "$((1732219855000 + step)) $first$status $step"
        done
        printf '\0'
    done > "corpus/mlflow/status$status"
    printf 'run_id: 0123\nstatus: %s\n' "$status" >> "corpus/mlflow/status$status"
done
mkdir -p corpus/catboost
find "${folders[@]}" -type f -name test_error.tsv | while read -r file; do
    { cat "$file"; printf '\0'; cat "${file%/*}/learn_error.tsv"; } \
        > "corpus/catboost/$(echo "$file" | cksum | cut -d' ' -f1)"
done
# The letters are places in `ingest::TRAINERS`.
copy dialects b '*hf*trainer*.log'
copy dialects c '*trl*.log'
copy dialects d '*mlx*.log'
copy dialects e '*llama*cpp*.log'
copy dialects f '*torchtune*.log'
copy dialects g '*lightning*.log'
copy dialects h '*keras*.log'
copy dialects i '*fastai*.log'
copy dialects j '*nanogpt*.log'
copy dialects k '*litgpt*.log'
copy dialects l '*llama*factory*.log'
copy dialects m '*ms-swift*'
copy dialects n '*xgboost*.log'
copy dialects o '*lightgbm*.log'
copy dialects p '*catboost*.log'
copy dialects v '*/text-*.log'
