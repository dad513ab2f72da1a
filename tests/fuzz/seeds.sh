#!/bin/sh
# Makes the corpus of each target of real logs: seeds.sh FOLDER-OF-LOGS... (default ../logs ../dialects).
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- ../logs ../dialects
mkdir -p corpus/tfevents corpus/wandb corpus/mlflow corpus/text corpus/own
folders="$*"
copy() { # target pattern
    find $folders -type f -path "$2" | while read -r file; do
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
