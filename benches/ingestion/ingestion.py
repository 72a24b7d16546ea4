"""Measures backfills from the simulated Feishu on loopback: pages a second, and the CPU time of the gateway for each page.

The CPU time is that of the whole process, start and archive included, so it does not depend on what else the machine does. The
simulator needs CPU time of its own: on a machine with few CPUs it limits the pages a second.
"""

import datetime
import os
import re
import subprocess
import sys
import tempfile
import time

PAGE_ROWS = 60
PEOPLE = int(os.environ.get("PULSE_BENCH_PEOPLE", "20000"))
DAYS = int(os.environ.get("PULSE_BENCH_DAYS", "28"))
RATE = os.environ.get("PULSE_BENCH_RATE")
# Where the days are written, below a temporary folder.
CASES = {"archive in memory": "memory://", "archive in a folder": "archive"}


def simulator(binary):
    arguments = ["--listen", "127.0.0.1:0", "--users", str(PEOPLE), "--days", str(DAYS + 4), "--latency", "0ms", "--limit", "none"]
    process = subprocess.Popen([binary, "simulate", *arguments], stdout=subprocess.PIPE, text=True)
    return process, re.search(r"http://[\d.:]+\d", process.stdout.readline()).group()


def backfill(binary, environment, days):
    """Seconds, and seconds of CPU time, of a backfill of this many days."""
    last = datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=3)
    first = last - datetime.timedelta(days=days - 1)
    command = [binary, "backfill", "--from", str(first), "--to", str(last)]
    started = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"the backfill ended with {status}"
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def main():
    binary = sys.argv[1]
    upstream, base = simulator(binary)
    try:
        print(f"{PEOPLE} people, {DAYS} days, {f'at most {RATE} calls a second' if RATE else 'no limit'}\n")
        print("| case | pages | pages a second | CPU µs a page | pages a second of one CPU | highest RSS, MiB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for name, archive in CASES.items():
            with tempfile.TemporaryDirectory() as scratch:
                environment = {
                    "FEISHU_APP_ID": "cli_demo", "FEISHU_APP_SECRET": "demo-secret", "FEISHU_BASE_URL": base, "PULSE_LOG": "error",
                    "PULSE_STATE_DIR": scratch, "PULSE_ARCHIVE": archive if "://" in archive else f"{scratch}/{archive}",
                    **({"PULSE_UPSTREAM_RATE": RATE} if RATE else {}),
                }
                seconds, cpu, peak = backfill(binary, environment, DAYS)
            pages = DAYS * -(-PEOPLE // PAGE_ROWS)
            print(
                f"| {name} | {pages} | {pages / seconds:.0f} | {cpu / pages * 1e6:.0f} | {pages / cpu:.0f} | {peak // 1024} |",
                flush=True,
            )
    finally:
        upstream.terminate()
        upstream.wait(30)


if __name__ == "__main__":
    main()
