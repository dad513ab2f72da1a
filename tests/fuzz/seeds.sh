#!/bin/sh
# Makes the corpus of each target of real logs: seeds.sh FOLDER-OF-LOGS (default ../logs).
set -eu
logs=${1:-$(dirname "$0")/../logs}
cd "$(dirname "$0")"
mkdir -p corpus/tfevents corpus/wandb corpus/mlflow corpus/text corpus/own
copy() { # target pattern
    find "$logs" -type f -path "$2" | while read -r file; do
        # The beginnings are enough, and small ones are faster.
        head -c 20000 "$file" > "corpus/$1/$(echo "$file" | cksum | cut -d' ' -f1)"
    done
}
copy tfevents '*tfevents*'
copy wandb '*.wandb'
copy mlflow '*/metrics/*'
copy text '*.log'
copy text '*.json*'
copy text '*.csv'
copy own '*run.jsonl'
