"""How fast logs are read: tune against what a Python user has, in one run on the same files.

    pip install runmedic losslint tbparse 'wandb<0.20'   # later ones have no reader in Python
    python benches/readers.py [target/release/tune [FOLDER]]

Makes logs as trainers write them, reads each with every program that can, on one core and from the page
cache, and prints megabytes a second of the program as a user runs it. The time that it needs for a log of a
few lines is taken off, for all alike: it is Python's start. Slow readers get the beginning of the same log.
The logs are kept in FOLDER, if one is named, and used again.
"""

import datetime
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

MB = 1e6
ROOT = Path(__file__).resolve().parent.parent
SITE = Path(sys.executable).parent


def losses(steps):
    """Train losses of all steps, and evaluation losses of every hundredth."""
    state = 1
    for step in range(1, steps + 1):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        train = 1.2 + 2 / (1 + step / 5000) + state % 1000 / 20000
        yield step, train, train + 0.2 if step % 100 == 0 else None


def hf_text(file, size):
    """Hugging Face Trainer on stdout: a bar over every step, a dictionary every ten of them."""
    steps = size // 128
    for step, train, evaluated in losses(steps):
        epoch = step / 4000
        percent = 100 * step // steps
        bar = f"\r{percent:3}%|{'█' * (percent // 10):<10}| {step}/{steps} [1:02:03<2:03:04,  1.23s/it]"
        file.write(bar.encode())
        if step % 10 == 0:
            row = f"{{'loss': '{train:.4g}', 'grad_norm': '0.8132', 'learning_rate': '1.85e-05', 'epoch': '{epoch:.4g}'}}"
            file.write(f"\r{' ' * 60}\r{row}\n{bar}".encode())
        if evaluated:
            row = f"{{'eval_loss': '{evaluated:.4g}', 'eval_runtime': '1.23', 'eval_samples_per_second': '81.3', 'epoch': '{epoch:.4g}'}}"
            file.write(f"\r{' ' * 60}\r{row}\n".encode())
        if file.tell() > size:
            return


def mlx_text(file, size):
    """mlx-lm up to 0.31: a line a step."""
    for step, train, evaluated in losses(size):
        file.write(
            f"Iter {step}: Train loss {train:.3f}, Learning Rate 1.000e-05, It/sec 3.125, "
            f"Tokens/sec 812.312, Trained Tokens {step * 260}, Peak mem 4.512 GB\n".encode()
        )
        if evaluated:
            file.write(f"Iter {step}: Val loss {evaluated:.3f}, Val took 3.312s\n".encode())
        if file.tell() > size:
            return


def own_text(file, size):
    """A loop of one's own under a logger, most of whose lines are about something else."""
    for step, train, evaluated in losses(size):
        stamp = f"2026-11-20 20:{step // 60 % 60:02}:{step % 60:02},111"
        file.write(f"{stamp} - INFO - trainer - step {step}/900000 loss {train:.4f} lr 1.0e-05 | 812.3 tok/s\n".encode())
        file.write(f"{stamp} - DEBUG - data.loader - shard 17: 2048 rows read, 31 of them shorter than 16 tokens\n".encode())
        file.write(f"{stamp} - DEBUG - cuda - reserved 21.3 GiB, in use 19.8 GiB\n".encode())
        if evaluated:
            file.write(f"{stamp} - INFO - trainer - step {step}/900000 val_loss {evaluated:.4f}\n".encode())
        if file.tell() > size:
            return


def json_lines(file, size):
    for step, train, evaluated in losses(size):
        file.write(f'{{"step": {step}, "loss": {train:.6f}, "grad_norm": 0.8132, "learning_rate": 1.85e-05, "epoch": {step / 4000}}}\n'.encode())
        if evaluated:
            file.write(f'{{"step": {step}, "eval_loss": {evaluated:.6f}, "eval_runtime": 1.23, "epoch": {step / 4000}}}\n'.encode())
        if file.tell() > size:
            return


def csv_table(file, size):
    file.write(b"epoch,step,train_loss,val_loss,lr\n")
    for step, train, evaluated in losses(size):
        file.write(f"{step // 4000},{step},{train:.6f},{'' if evaluated is None else format(evaluated, '.6f')},1.85e-05\n".encode())
        if file.tell() > size:
            return


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


CRC32C = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    CRC32C.append(n)


def masked(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC32C[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)


def event_file(file, size):
    """TensorBoard, as PyTorch writes it: a record a figure."""
    tags = [b"train/loss", b"train/grad_norm", b"train/learning_rate", b"train/epoch"]
    for step, train, evaluated in losses(size):
        for tag, value in [(tag, train) for tag in tags] + ([(b"eval/loss", evaluated)] if evaluated else []):
            summary = field(1, field(1, tag) + b"\x15" + struct.pack("<f", value))
            event = b"\x09" + struct.pack("<d", 1.7e9 + step) + b"\x10" + varint(step) + field(5, summary)
            length = struct.pack("<Q", len(event))
            file.write(length + masked(length) + event + masked(event))
        if file.tell() > size:
            return


def wandb_file(file, size):
    """Weights & Biases, as the Hugging Face trainer logs to it."""
    out = bytearray(b":W&B\xe1\xbe\x00")
    number = 0

    def chunk(kind, data):
        body = bytes([kind]) + data
        out.extend(struct.pack("<IH", zlib.crc32(body), len(data)) + body)

    def record(data):
        first = True
        while True:
            room = 32768 - len(out) % 32768
            if room < 7:
                out.extend(bytes(room))
                continue
            part, data = data[: room - 7], data[room - 7 :]
            chunk((1 if first else 4) if not data else (2 if first else 3), part)
            first = False
            if not data:
                return

    for step, train, evaluated in losses(size):
        if step % 10:
            continue
        rows = [{"train/loss": f"{train:.6f}", "train/grad_norm": "0.8132", "train/learning_rate": "1.85e-05"}]
        if evaluated:
            rows.append({"eval/loss": f"{evaluated:.6f}", "eval/runtime": "1.23"})
        for row in rows:
            row |= {
                "train/epoch": str(step / 4000),
                "train/global_step": str(step),
                "_timestamp": str(1.7e9 + step),
                "_runtime": str(float(step)),
                "_step": str(number),
            }
            items = [field(1, field(2, key.encode()) + varint(16 << 3 | 2) + varint(len(value)) + value.encode()) for key, value in row.items()]
            record(varint(1 << 3) + varint(number + 1) + field(2, b"".join(items) + field(2, b"\x08" + varint(number))))
            number += 1
        if len(out) > size:
            break
    file.write(out)


def by_tbparse(path):
    return [sys.executable, "-c", f"from tbparse import SummaryReader; SummaryReader({str(path)!r}).scalars"]


def by_tensorboard(path):
    return [
        sys.executable,
        "-c",
        "from tensorboard.backend.event_processing.event_file_loader import EventFileLoader\n"
        f"for _ in EventFileLoader({str(path)!r}).Load(): pass",
    ]


def by_wandb(path):
    return [
        sys.executable,
        "-c",
        "from wandb.sdk.internal.datastore import DataStore\nfrom wandb.proto.wandb_internal_pb2 import Record\n"
        f"store = DataStore(); store.open_for_scan({str(path)!r})\n"
        "while (data := store.scan_data()) is not None: Record.FromString(data)",
    ]


def by_runmedic(path):
    return [str(SITE / "runmedic"), "diagnose", "--json", str(path)]


def by_losslint(path):
    return [str(SITE / "losslint"), "check", "--format", "json", str(path)]


# What is read, under which name, by whom beside tune.
LOGS = [
    ("text, Hugging Face with bars", "hf.log", hf_text, [by_runmedic]),
    ("text, mlx-lm", "mlx.log", mlx_text, [by_runmedic]),
    ("text, a loop of one's own", "own.log", own_text, [by_runmedic]),
    ("JSON Lines", "rows.jsonl", json_lines, [by_runmedic, by_losslint]),
    ("CSV", "metrics.csv", csv_table, [by_runmedic, by_losslint]),
    ("event file", "events.out.tfevents.1", event_file, [by_tbparse, by_tensorboard, by_runmedic, by_losslint]),
    (".wandb", "run-1.wandb", wandb_file, [by_wandb]),
]


def run(command, one_core=True):
    """Seconds and peak MB of a program that reads a log."""
    # Of a linter 1 is a finding.
    fine = (0,) if command[0] == sys.executable else (0, 1)
    if one_core:
        command = ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode not in fine:
        raise RuntimeError(f"exits with {process.returncode}")
    return seconds, usage.ru_maxrss * 1024 / MB


def made(folder, name, make, size):
    """A log of about `size` MB."""
    path = Path(folder) / str(size) / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            make(file, int(size * MB))
    return path


def speed(command, folder, name, make, size, times):
    """MB/s over a log of about `size` MB."""
    small, large = made(folder, name, make, 0.02), made(folder, name, make, size)
    base = min(run(command(small))[0] for _ in range(times))
    taken = min(run(command(large))[0] for _ in range(times)) - base
    return large.stat().st_size / MB / max(taken, 1e-9)


def long_log(file, _):
    """A million points among much else."""
    for step, train, evaluated in losses(1_000_000):
        file.write(f"{'.' * 950}\nstep {step} loss {train:.4f}\n".encode())
        if evaluated:
            file.write(f"step {step} val_loss {evaluated:.4f}\n".encode())


def main():
    tune = str(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/tune").resolve())

    def by_tune(path):
        return [tune, "check", "--json", "--fail-on", "never", str(path)]

    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    print(f"{datetime.date.today()}, {model[1] if model else 'unknown processor'}, one core, MB/s\n")
    print("| log | tune | best of the others | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = sys.argv[2] if len(sys.argv) > 2 else folder
        # First: the peak of a child is at least the size of this process when it starts it, and this one will grow.
        long = made(folder, "long.log", long_log, 1000)
        runs = [run(by_tune(long)) for _ in range(3)]
        # The first fetches the file, the others find it in memory.
        (first, peak), seconds = runs[0], min(seconds for seconds, _ in runs)
        whole = f"{long.stat().st_size / MB:.0f} MB with a million points: {seconds:.2f} s, {first:.2f} s the first time, peak {peak:.0f} MB"
        for title, name, make, others in LOGS:
            ours = speed(by_tune, folder, name, make, 48, 3)
            found = []
            for other in others:
                try:
                    # Of the quick one the start, which is taken off, is the longer part: the least of several tries.
                    size, times = (96, 4) if other is by_wandb else (2, 1)
                    found.append((speed(other, folder, name, make, size, times), other.__name__[3:]))
                except (OSError, RuntimeError) as error:
                    print(f"{other.__name__[3:]}: {error}", file=sys.stderr)
            theirs, who = max(found) if found else (float("nan"), "none")
            print(f"| {title} | {ours:.0f} | {who} {theirs:.1f} | {ours / theirs:.0f}x |", flush=True)

        print(f"\n{whole}")

        logs = sorted((ROOT / "tests/logs").glob("*/*/stdout.log"))
        for index in range(1000):
            to = Path(folder) / "runs" / f"run{index}" / "stdout.log"
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(logs[index % len(logs)].read_bytes())
        seconds = min(run(by_tune(Path(folder) / "runs"), one_core=False)[0] for _ in range(3))
        print(f"a folder of 1,000 runs: {seconds:.2f} s, start to end, on all cores")


if __name__ == "__main__":
    main()
