"""How fast event files are read: tune against tbparse and TensorBoard's own reader, on the same file.

    pip install tbparse tensorboard
    python benches/event_files.py target/release/tune [STEPS]

Makes an event file of STEPS training steps (four scalars each, an evaluation every hundred), reads it
with each from the page cache, best of three, and prints megabytes a second.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorboard.backend.event_processing import event_file_loader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def write(path: Path, steps: int) -> None:
    with open(path, "wb") as file:
        records = RecordWriter(file)
        for step in range(steps):
            names = ["train/loss", "train/grad_norm", "train/learning_rate", "train/epoch"]
            if step % 100 == 99:
                names += ["eval/loss", "eval/runtime"]
            for name in names:
                value = Summary.Value(tag=name, simple_value=1 + 1 / (1 + step))
                event = Event(wall_time=1.7e9 + step, step=step, summary=Summary(value=[value]))
                records.write(event.SerializeToString())


def best(read, times: int = 3) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        read()
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    tune = sys.argv[1]
    steps = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.out.tfevents.1"
        write(path, steps)
        size = path.stat().st_size / 1e6
        print(f"{size:.1f} MB, {steps} steps")

        def by_tune():
            subprocess.run([tune, "watch", "--once", "-q", str(path)], check=True, stdout=subprocess.DEVNULL)

        def by_tensorboard():
            for _ in event_file_loader.EventFileLoader(str(path)).Load():
                pass

        def by_tbparse():
            from tbparse import SummaryReader

            return SummaryReader(str(path)).scalars

        for name, read in [("tune", by_tune), ("tensorboard", by_tensorboard), ("tbparse", by_tbparse)]:
            seconds = best(read, 1 if name == "tbparse" else 3)
            print(f"{name:12} {seconds:7.3f} s  {size / seconds:8.1f} MB/s")


if __name__ == "__main__":
    main()
