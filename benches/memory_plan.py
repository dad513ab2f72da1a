#!/usr/bin/env python3
"""`tune run --plan` against what the run then takes: the plan must be within 15 % of the measured peak.

    cargo build --release
    python3 benches/memory_plan.py MODEL_FOLDER...

Each model trains two steps on random words, with and without checkpointing, in each precision.
"""
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TUNE = ROOT / "target/release/tune"


def peak(command):
    """Largest resident memory of a process in bytes."""
    child = os.fork()
    if child == 0:
        out = os.open(os.devnull, os.O_WRONLY)
        os.dup2(out, 1)
        os.execv(command[0], command)
    _, status, usage = os.wait4(child, 0)
    assert status == 0, command
    return usage.ru_maxrss * 1024


random.seed(0)
worst = 0.0
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    words = "red green blue white black grey pink brown gold teal tan lime".split()
    rows = [json.dumps({"text": " ".join(random.choices(words, k=120))}) for _ in range(40)]
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    for source in sys.argv[1:]:
        model = folder / pathlib.Path(source).name
        shutil.copytree(source, model, copy_function=os.symlink)
        for name in ["tokenizer.json", "tokenizer_config.json"]:
            if not (model / name).exists():
                shutil.copy(ROOT / "src/model/base" / name, model)
        for dtype in ["f32", "bf16"]:
            for checkpointing in ["false", "true"]:
                config = folder / "job.toml"
                config.write_text(
                    f'[model]\npath = "{model}"\ndtype = "{dtype}"\n[data]\ntrain = "{folder}/rows.jsonl"\n'
                    f'valid = 4\nmax_length = 256\n[train]\nsteps = 2\nbatch_size = 8\n'
                    f'gradient_checkpointing = {checkpointing}\n[eval]\nevery_steps = 2\n'
                )
                command = [str(TUNE), "run", str(config), "--device", "cpu"]
                plan = json.loads(os.popen(" ".join([*command, "--plan", "--json"])).read())
                out = folder / f"run-{model.name}-{dtype}-{checkpointing}"
                taken = peak([*command, "--plain", "--out", str(out)])
                off = plan["total"] / taken - 1
                worst = max(worst, abs(off))
                print(f"{model.name} {dtype} checkpointing {checkpointing}: planned {plan['total'] >> 20} MiB, "
                      f"taken {taken >> 20} MiB, {100 * off:+.0f} %", flush=True)
sys.exit(worst > 0.15)
