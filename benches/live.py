"""How quickly `tune watch` shows what is written, and what it costs while nothing is.

    python benches/live.py [target/release/tune]

Runs the program under a pseudo-terminal of 120 by 40 on logs that it makes, and prints the time to the
first frame, the time from an appended line to its place on the screen (20 of them), the share of a core
over 10 seconds with 50 logs at rest, and the time to the screen of a line that one of them then gets.
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Screen:
    """A program under a terminal of its own."""

    def __init__(self, command):
        self.start = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execv(command[0], command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def read(self, seconds):
        """What is drawn within this time."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return b""
        data = os.read(self.fd, 1 << 16)
        # A terminal is asked what it can do, and where its cursor is.
        if b"\x1b[c" in data:
            os.write(self.fd, b"\x1b[?62;22c")
        if b"\x1b[6n" in data:
            os.write(self.fd, b"\x1b[1;1R")
        return data

    def until(self, wanted, seconds):
        """Seconds until something is drawn that `wanted` accepts."""
        start, seen = time.perf_counter(), b""
        while time.perf_counter() - start < seconds:
            seen += self.read(0.05)
            if wanted(re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen)):
                return time.perf_counter() - start
        raise RuntimeError(f"not drawn within {seconds} s")

    def rest(self, seconds):
        """Reads what comes for a while."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self.read(left)

    def cpu(self):
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def line(step):
    return f"step {step} loss {2 + 1 / (1 + step):.4f} eval_loss {2.5 + 1 / (1 + step):.4f}\n"


def main():
    tune = str(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/release/tune").resolve())
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / f"run{index:02}.log" for index in range(50)]
        for log in logs:
            log.write_text("".join(line(step) for step in range(1, 200)))

        first = []
        for _ in range(5):
            screen = Screen([tune, "watch", str(logs[0])])
            first.append(screen.until(lambda text: b"tune" in text, 5))
            screen.end()

        screen = Screen([tune, "watch", str(logs[0])])
        screen.rest(2)
        taken = []
        for step in range(200, 220):
            # Only what changes is drawn: no digit of this one is in the place of that before.
            digit = str(2 + step % 7)
            with open(logs[0], "a") as file:
                file.write(f"step {step} loss 2.0 eval_loss {digit}.{digit * 4}\n")
            taken.append(screen.until(lambda text: (digit * 3).encode() in text, 5))
            screen.rest(0.3 + step % 7 / 20)
        screen.end()

        screen = Screen([tune, "watch", *map(str, logs)])
        screen.rest(3)
        before = screen.cpu()
        screen.rest(10)
        idle = (screen.cpu() - before) / 10
        with open(logs[0], "a") as file:
            file.write("step 220 loss 2.0 eval_loss 9.9990\n")
        late = screen.until(lambda text: b"999" in text, 5)
        screen.end()

    taken.sort()
    print(f"first frame        {1000 * sorted(first)[2]:.0f} ms (median of 5)")
    print(f"line to screen     {1000 * taken[10]:.0f} ms (median of 20), {1000 * taken[-1]:.0f} ms at most")
    print(f"50 logs at rest    {100 * idle:.2f} % of a core")
    print(f"line after that    {1000 * late:.0f} ms")


if __name__ == "__main__":
    main()
