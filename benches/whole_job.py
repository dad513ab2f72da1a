#!/usr/bin/env python3
"""The quickstart's job from process start to finish, against transformers + PEFT on the same rows.

    cargo build --release
    python3 benches/whole_job.py [--epochs 12] [--rounds 1]

Same model (the embedded base as a model folder), rows, steps, batch, rate, rank and precision (f32);
neither side stops early; both evaluate the held-out rows once an epoch, and nothing else: the probe of `tune` (train
rows and continuations), which the other side has not, is off. `tune eval` scores both best adapters.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TUNE = ROOT / "target/release/tune"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=float, default=12)
parser.add_argument("--rounds", type=int, default=1)
args = parser.parse_args()


def timed(command):
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def score(model, adapter, rows):
    command = [TUNE, "eval", "--model", model, "--adapter", adapter, "--data", rows, "--json"]
    return json.loads(subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout)["loss"]


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    model = folder / "model"
    model.mkdir()
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(ROOT / "src/model/base" / name, model)
    lines = (ROOT / "datasets/support-emails.jsonl").read_text().splitlines(keepends=True)
    train, valid = folder / "train.jsonl", folder / "valid.jsonl"
    train.write_text("".join(line for i, line in enumerate(lines) if i % 5))
    valid.write_text("".join(line for i, line in enumerate(lines) if i % 5 == 0))
    settings = {
        "model.path": model, "model.dtype": "f32", "data.train": train, "data.valid": valid,
        "lora.r": 64, "lora.alpha": 512.0, "train.epochs": args.epochs, "train.batch_size": 8,
        "train.learning_rate": 1e-3, "train.schedule": "constant", "train.warmup_ratio": 0.0,
        "eval.every_epochs": 1.0, "early_stopping.enabled": "false", "probe.rows": 0, "probe.prompts": 0,
    }
    ours, theirs = [], []
    for turn in range(args.rounds):
        out = [folder / f"{side}-{turn}" for side in ("tune", "hf")]
        overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        ours.append(timed([TUNE, "run", "configs/quickstart.toml", "--plain", "--out", out[0], *overrides]))
        theirs.append(timed([
            sys.executable, ROOT / "benches/hf_job.py", model, train, valid, out[1], "--epochs", str(args.epochs),
            "--batch", "8", "--rate", "1e-3", "--rank", "64", "--alpha", "512",
        ]))
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"tune {a:.1f} s, transformers + PEFT {b:.1f} s: {b / a:.1f} times as fast, {os.cpu_count()} processors")
    losses = [score(model, out[side] / "best", valid) for side in (0, 1)]
    print(f"best adapters on the held-out rows: tune {losses[0]:.4f}, transformers + PEFT {losses[1]:.4f}, "
          f"{100 * abs(losses[0] / losses[1] - 1):.2f} % apart")
