#!/usr/bin/env python3
"""The table of `tune` against PyTorch + PEFT: interleaved rounds, medians, the peak memory of both.

    cargo build --release
    python3 benches/against_peft.py [--models W1 W2] [--rounds 3] [--steps 5] [--folder DIR]

The Python that runs this needs torch, transformers and peft; the models (random weights) are written to
the folder once. Nothing else should run on the machine.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--models", nargs="+", default=["W1", "W2"])
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()) / "tune-benches")
args = parser.parse_args()


def measure(side, model, dtype):
    """One process, one figure for each key."""
    common = [str(model), "--dtype", dtype, "--steps", str(args.steps), "--threads", str(args.threads)]
    if side == "tune":
        command = [ROOT / "target/release/tune", "bench", *common, "--device", "cpu", "--json"]
    else:
        command = [sys.executable, ROOT / "benches/peft_step.py", *common]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


print(f"{datetime.date.today()}, {processor()}, {args.threads} threads, batch 8 x 128 tokens, rank 8, "
      f"median of {args.rounds} interleaved rounds of {args.steps} steps\n")
print("| | PyTorch tokens/s | tune tokens/s | ratio | PyTorch peak | tune peak | of PyTorch's f32 |")
print("|---|---|---|---|---|---|---|")
for name in args.models:
    model = args.folder / name
    if not (model / "model.safetensors").exists():
        subprocess.run([sys.executable, ROOT / "benches/peft_step.py", model, "--make", name], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    figures = {}
    for _ in range(args.rounds):
        for dtype in ["f32", "bf16"]:
            for side in ["torch", "tune"]:
                figures.setdefault((side, dtype), []).append(measure(side, model, dtype))

    def median(side, dtype, key):
        return statistics.median(one[key] for one in figures[side, dtype])

    for dtype in ["f32", "bf16"]:
        theirs, ours = median("torch", dtype, "tok_s"), median("tune", dtype, "tok_s")
        peaks = median("torch", dtype, "peak_mb"), median("tune", dtype, "peak_mb")
        share = peaks[1] / median("torch", "f32", "peak_mb")
        print(f"| {name} {dtype} | {theirs:.0f} | {ours:.0f} | {ours / theirs:.2f} | {peaks[0]:.0f} MiB | "
              f"{peaks[1]:.0f} MiB | {share:.2f} |", flush=True)
