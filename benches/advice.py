#!/usr/bin/env python3
"""What tune's advice is worth when it is followed blindly.

    cargo build --release
    python3 benches/advice.py [--only quickstart,high-rate] [--seed 0] [--threads 1]

Each set-up but the last overfits in its own way: the quickstart, and jobs like it on rows drawn from the same
e-mails, cut to their first words to be quick. It is run to its end without early stopping. Then the command that `tune` prints under "To try it:" is run as it
stands, and `tune compare` puts the best evaluations of the two side by side, row by row.

Fixed beforehand: better or worse is a difference of the best eval losses of more than two of its standard
errors, paired over the same held-out rows. Within that it is "same, fewer steps" when at least a tenth of
the steps was saved, else "no difference". The exit code is 1 when any set-up comes out worse, or the
healthy one is advised anything. "augmentation" follows no advice: it is the same job with [augment] on.

The advice was developed with other seeds; seed 0 is for the report. A seed draws the rows, which of them
are held out, and the adapter's start. About a quarter of an hour on two CPU cores.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TUNE = ROOT / "target/release/tune"
CONFIG = "configs/quickstart.toml"
HELD_OUT = 60
# Most characters of each message of a cut row.
CUT = 140

# Name, training rows, copies of each, and what differs from the quickstart.
SETUPS = [
    ("quickstart", None, 1, {}),
    ("small-rank", 60, 1, {"lora.r": 4, "lora.alpha": 64.0, "train.epochs": 16.0}),
    ("large-rank", 60, 1, {"lora.r": 128, "lora.alpha": 1024.0, "train.epochs": 8.0}),
    ("few-rows", 24, 1, {"lora.r": 16, "lora.alpha": 128.0, "train.epochs": 20.0}),
    ("many-rows", 240, 1, {"lora.r": 32, "lora.alpha": 512.0, "train.epochs": 6.0, "eval.every_epochs": 0.5}),
    ("high-rate", 60, 1, {
        "lora.r": 16, "lora.alpha": 128.0, "train.epochs": 8.0, "train.learning_rate": 5e-3, "eval.every_epochs": 0.5,
    }),
    ("long-constant", 40, 1, {
        "lora.r": 16, "lora.alpha": 128.0, "train.epochs": 20.0, "train.schedule": "constant",
    }),
    ("duplicated-rows", 30, 3, {
        "lora.r": 16, "lora.alpha": 128.0, "train.epochs": 6.0, "eval.every_epochs": 0.5,
    }),
    ("regularised", 60, 1, {"lora.dropout": 0.1, "train.weight_decay": 0.1, "train.epochs": 10.0}),
    ("augmentation", 60, 1, {"lora.r": 16, "lora.alpha": 128.0, "train.epochs": 10.0}),
    ("healthy", 60, 1, {"lora.r": 8, "lora.alpha": 16.0, "train.epochs": 3.0, "train.learning_rate": 5e-4}),
]

# Not what was advised but what is tried in its place: augmentation, and nothing else.
TRIED = {"augmentation": {"augment.neftune_noise_alpha": 5.0, "augment.word_dropout": 0.05, "augment.typos": 0.02}}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--only", help="names of set-ups, with commas")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, help="all processors if not given")
parser.add_argument("--keep", type=pathlib.Path, help="keep rows and run folders in this folder")
args = parser.parse_args()
only = args.only.split(",") if args.only else [name for name, *_ in SETUPS]
if unknown := set(only) - {name for name, *_ in SETUPS}:
    parser.error(f"no such set-up: {', '.join(sorted(unknown))}")

ENVIRONMENT = dict(os.environ, PATH=f"{TUNE.parent}{os.pathsep}{os.environ['PATH']}")
if args.threads:
    ENVIRONMENT["RAYON_NUM_THREADS"] = str(args.threads)


def tune(command):
    """Runs a command of tune in the repository's root, and gives back what it prints."""
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{shlex.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def run(command):
    """A finished run: its folder, the command that it advises, and its report."""
    printed = tune(command)
    folder = re.search(r"^run folder: (.+)$", printed, re.MULTILINE)[1]
    advised = re.search(r"^To try it:\n  (.+)$", printed, re.MULTILINE)
    report = pathlib.Path(folder) / "report.json"
    tune(["tune", "report", folder, "-o", report])
    return folder, advised and shlex.split(advised[1]), json.loads(report.read_text())


def cut(line):
    """A row whose messages are cut at a word."""
    row = json.loads(line)
    for message in row["messages"]:
        message["content"] = message["content"][:CUT].rsplit(maxsplit=1)[0]
    return json.dumps(row) + "\n"


def rows(folder, count, copies, seed):
    """Files of rows to train on and rows to hold out, as overrides."""
    lines = [cut(line) for line in (ROOT / "datasets/support-emails.jsonl").read_text().splitlines()]
    random.Random(seed).shuffle(lines)
    train, valid = folder / "train.jsonl", folder / "valid.jsonl"
    train.write_text("".join(lines[HELD_OUT:HELD_OUT + count] * copies))
    valid.write_text("".join(lines[:HELD_OUT]))
    return {"data.train": train, "data.valid": valid}


def sets(settings):
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


def judge(before, after, difference):
    """The verdict of the table, and the difference in words."""
    nats, error = difference["nats_per_token"], difference["paired_se"]
    steps = [report["progress"]["step"] for report in (before, after)]
    words = f"{nats:+.3f} ± {error:.3f}"
    if abs(nats) > 2 * error:
        return ("better" if nats < 0 else "WORSE"), words
    return ("same, fewer steps" if steps[1] <= 0.9 * steps[0] else "no difference"), words


def main(out):
    table = [("set-up", "verdict", "best before", "after", "difference", "last before", "after", "steps", "after",
              "seconds", "after", "outcome")]
    advice, bad = [], False
    for name, count, copies, changes in SETUPS:
        if name not in only:
            continue
        folder = out / name
        folder.mkdir(parents=True)
        settings = {"output.dir": folder, "early_stopping.enabled": "false", "train.seed": args.seed, "probe.prompts": 0,
                    **({"eval.every_epochs": 1.0} | rows(folder, count, copies, args.seed) if count else {}), **changes}
        overrides = sets(settings)
        before_folder, command, before = run(["tune", "run", CONFIG, *overrides])
        if name in TRIED:
            command = ["tune", "run", CONFIG, *overrides, *sets(TRIED[name])]
        loss = lambda report, which: f"{report[which]['loss']:.3f}"
        row = [name, before["verdict"], loss(before, "best"), "", "", loss(before, "last"), "",
               str(before["progress"]["step"]), "", f"{before['progress']['seconds']:.0f}", "", "no command is advised"]
        if command:
            after_folder, _, after = run(command)
            difference = json.loads(tune(["tune", "compare", before_folder, after_folder, "--json"]))["difference"]
            row[11], row[4] = judge(before, after, difference)
            row[3], row[6] = loss(after, "best"), loss(after, "last")
            row[8], row[10] = str(after["progress"]["step"]), f"{after['progress']['seconds']:.0f}"
            changed = [part for part in command[3:] if part != "--set" and part not in overrides]
            advice.append(f"{name}: {' '.join(changed)}")
            bad |= row[11] == "WORSE" and name not in TRIED
        bad |= (name == "healthy") == bool(command)
        table.append(row)
        print(f"{name}: {row[11]}", file=sys.stderr)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print("\nWhat was advised:", *advice, sep="\n  ")
    return int(bad)


if args.keep:
    sys.exit(main(args.keep.resolve()))
with tempfile.TemporaryDirectory() as folder:
    sys.exit(main(pathlib.Path(folder)))
