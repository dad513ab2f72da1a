#!/usr/bin/env python3
"""What the dashboard costs where it is used, in a terminal of 120 by 40. Linux.

Of a live run of the quickstart: the processor time of the threads that draw, listen and measure, as a share of that of
the whole process; bound 1 %. Of `tune watch` on that run: the time from the start of the process to the end of
the first frame that shows the run, the median of 15; bound 50 ms.

Usage: benches/dashboard_live.py [TUNE [SECONDS]]
"""

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time

SHARE_BOUND = 1.0
FRAME_BOUND_MS = 50.0
TIMES = 15
# The title of a panel below the chart: there is none before a run is on the screen.
DRAWN = b"Verdict"


def start(*command):
    """Starts a command in a terminal of its own: its process and the terminal's other end."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for stream in (0, 1, 2):
            os.dup2(slave, stream)
        os.environ.update(TERM="xterm-256color", LC_ALL="C.UTF-8")
        os.execv(command[0], command)
    os.close(slave)
    return pid, master


def read(master):
    """What the terminal is given next; nothing when its program has ended."""
    if not select.select([master], [], [], 60)[0]:
        sys.exit("nothing was drawn for a minute")
    try:
        return os.read(master, 1 << 16)
    except OSError:
        return b""


def ticks(pid):
    """Clock ticks of the dashboard's threads, the first of which draws, and of all."""
    used = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as stat:
            name, fields = stat.read().split("(", 1)[1].rsplit(")", 1)
        of_dashboard = int(task) == pid or name in ("keyboard", "meter")
        used[of_dashboard] = used.get(of_dashboard, 0) + sum(map(int, fields.split()[11:13]))
    return used[True], sum(used.values())


def share(tune, run, seconds):
    settings = ["--set", "early_stopping.enabled=false"]
    pid, master = start(tune, "run", "configs/quickstart.toml", "--out", run, *settings)

    def drain():
        while read(master):
            pass

    threading.Thread(target=drain, daemon=True).start()

    def steps():
        try:
            with open(f"{run}/run.jsonl", encoding="utf-8") as log:
                return log.read().count('"kind":"step"')
        except FileNotFoundError:
            return 0

    while steps() == 0:
        time.sleep(0.2)
    drawn, used, done = *ticks(pid), steps()
    time.sleep(seconds)
    drawn, used, done = (now - then for now, then in zip((*ticks(pid), steps()), (drawn, used, done)))
    os.kill(pid, signal.SIGINT)
    os.waitpid(pid, 0)
    of_step = 100 * drawn / max(used - drawn, 1)
    ms = 1e3 / os.sysconf("SC_CLK_TCK") / max(done, 1)
    print(
        f"{done} steps: {used * ms:.0f} ms of the processor a step, {drawn * ms:.2f} ms of it for the dashboard: "
        f"{of_step:.2f} %, bound {SHARE_BOUND} %"
    )
    return of_step < SHARE_BOUND


def first_frame(tune, run):
    begun = time.perf_counter()
    pid, master = start(tune, "watch", run)
    seen = b""
    while DRAWN not in seen:
        seen += read(master) or sys.exit(f"tune watch ended: {seen!r}")
    taken = (time.perf_counter() - begun) * 1e3
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    os.close(master)
    return taken


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    tune = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else "target/release/tune")
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30
    # Whatever hangs, the machine that is kept quiet for this is not kept for ever.
    signal.alarm(int(seconds) + 120)
    with tempfile.TemporaryDirectory() as place:
        run = os.path.join(place, "run")
        holds = share(tune, run, seconds)
        taken = [first_frame(tune, run) for _ in range(TIMES)]
    median = statistics.median(taken)
    print(f"first frame of tune watch: {median:.1f} ms (worst {max(taken):.1f}), bound {FRAME_BOUND_MS} ms")
    sys.exit(0 if holds and median < FRAME_BOUND_MS else 1)


main()
