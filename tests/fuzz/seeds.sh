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
copy mlflow - '*/metrics/*'
copy text - '*.log' '*.json*' '*.csv'
copy own - '*run.jsonl'
copy tables 'a b c d' '*.csv' '*.tsv'
copy jsonl 'a b c' '*.jsonl'
copy documents 'a b c d' '*.json'
copy utf16 - '*.log' '*.jsonl'
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
