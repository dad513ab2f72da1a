#!/usr/bin/env python3
"""How long `tune watch` takes to its first frame, in a terminal of 120 by 40: from the start of the process to
the end of the first frame that shows the run. Bound: 50 ms in the median.

Usage: benches/first_frame.py SOURCE [TUNE [TIMES]]
"""

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import sys
import termios
import time

# The title of the panel below the chart: there is none before a run is on the screen.
DRAWN = b"Verdict"
BOUND_MS = 50.0


def first_frame(tune, source):
    """Milliseconds to the first byte, and to the first frame that shows a run."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for stream in (0, 1, 2):
            os.dup2(slave, stream)
        os.environ.update(TERM="xterm-256color", LC_ALL="C.UTF-8")
        os.execv(tune, [tune, "watch", source])
    os.close(slave)
    seen, first = b"", None
    while DRAWN not in seen:
        if not select.select([master], [], [], 20)[0]:
            sys.exit(f"no frame within 20 s: {seen[-300:]!r}")
        seen += os.read(master, 65536)
        first = first or time.perf_counter()
    drawn = time.perf_counter()
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    os.close(master)
    return (first - start) * 1e3, (drawn - start) * 1e3


def main():
    source = sys.argv[1]
    tune = os.path.realpath(sys.argv[2] if len(sys.argv) > 2 else "target/release/tune")
    times = [first_frame(tune, source) for _ in range(int(sys.argv[3]) if len(sys.argv) > 3 else 15)]
    first, drawn = (statistics.median(column) for column in zip(*times))
    worst = max(drawn for _, drawn in times)
    print(f"first byte {first:.1f} ms, first frame {drawn:.1f} ms (worst {worst:.1f}), bound {BOUND_MS:.0f} ms")
    sys.exit(0 if drawn < BOUND_MS else 1)


main()
