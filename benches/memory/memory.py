"""Measures the resident memory of a gateway while it fills, answers many different questions, and serves many views.

Prints a table: the figure in PULSE_CACHE_BYTES, the highest resident memory in each case, and the bound. With --check, a case above
the bound fails.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / ".ci"))
from idle_connections import gateway, memory  # noqa: E402

MIB = 1 << 20
PEOPLE = int(os.environ.get("PULSE_BENCH_PEOPLE", "20000"))
DAYS = int(os.environ.get("PULSE_BENCH_DAYS", "60"))
QUESTIONS = int(os.environ.get("PULSE_BENCH_QUESTIONS", "4000"))
VIEWS = int(os.environ.get("PULSE_BENCH_VIEWS", "600"))
FIGURES = [int(figure) for figure in os.environ.get("PULSE_BENCH_MIB", "256").split(",")]


class Peak(threading.Thread):
    """The highest resident memory of a process while a block runs."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.bytes, self.running = process, 0, True

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.running = False
        self.join()

    def run(self):
        while self.running:
            self.bytes = max(self.bytes, memory(self.process))
            time.sleep(0.02)


def get(address, path, key=None):
    request = urllib.request.Request(f"http://{address[0]}:{address[1]}{path}")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=900) as answer:
        return answer.read()


def simulator(binary):
    process = subprocess.Popen(
        [binary, "simulate", "--listen", "127.0.0.1:0", "--users", str(PEOPLE), "--days", str(DAYS + 2)],
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, re.search(r"http://[\d.:]+\d", process.stdout.readline()).group()


def fill(address, keys):
    get(address, f"/v1/user-days?period={DAYS}d&limit=1", keys[0])


def questions(address, keys):
    """Different questions about few days, as a dashboard with many filters asks them."""
    for number in range(QUESTIONS):
        first, length = number % (DAYS - 8), number // (DAYS - 8) % 7
        end = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400 * (2 + first)))
        begin = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400 * (2 + first + length)))
        report = ("activity", "summary", "departments", "clients")[number % 4]
        depth = f"&depth={1 + number % 5}" if report == "departments" else ""
        get(address, f"/v1/reports/{report}?start_date={begin}&end_date={end}{depth}", keys[0])


def views(address, keys):
    """The latest week for keys that see different departments."""
    for key in keys[1:]:
        get(address, "/v1/reports/activity?period=7d&allow_partial=true", key)


def new_keys(file, departments):
    """Access keys, each with departments of its own, and their lines in the keys file."""
    keys = []
    with file.open("w") as lines:
        for number in range(VIEWS + 1):
            key = "fpk_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
            # Key 0 sees everyone. The other keys see pairs of departments, so that no two views are equal.
            pair = divmod(number - 1, len(departments))
            seen = [] if number == 0 else sorted({departments[pair[1]], departments[(pair[0] + pair[1]) % len(departments)]})
            line = {"name": f"key-{number}", "sha256": hashlib.sha256(key.encode()).hexdigest(), "scopes": ["users:read"]}
            lines.write(json.dumps(line | ({"departments": seen} if seen else {}), ensure_ascii=False) + "\n")
            keys.append(key)
    return keys


def main():
    binary = sys.argv[1]
    upstream, base = simulator(binary)
    rows = []
    try:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "keys"
            with gateway(binary, 1000, FEISHU_BASE_URL=base, PULSE_REQUEST_TIMEOUT="15min") as (_, address):
                tree = json.loads(get(address, "/v1/reports/departments?period=1d&depth=4&layout=flat"))["data"]
                departments = sorted({item["department_path"] for item in tree if item["department_path"]})
            keys = new_keys(file, departments)
            for figure in FIGURES:
                settings = {
                    "FEISHU_BASE_URL": base,
                    "PULSE_CACHE_BYTES": f"{figure}MiB",
                    "PULSE_ARCHIVE": f"{scratch}/archive-{figure}",
                    "PULSE_REQUEST_TIMEOUT": "15min",
                    "PULSE_API_KEYS_FILE": str(file),
                    **{name: value for name, value in os.environ.items() if name.startswith("MIMALLOC_")},
                }
                with gateway(binary, 1000, **settings) as (process, address):
                    for case in (fill, questions, views):
                        began = time.monotonic()
                        with Peak(process) as peak:
                            case(address, keys)
                        rows.append((figure, case.__name__, peak.bytes, time.monotonic() - began))
                        print(f"{figure} MiB, {case.__name__}: {peak.bytes // MIB} MiB", file=sys.stderr, flush=True)
    finally:
        upstream.terminate()
        upstream.wait(30)
    print(f"\n{PEOPLE} people, {DAYS} days\n\n| PULSE_CACHE_BYTES | case | highest RSS, MiB | bound, MiB | seconds |\n| ---: | --- | ---: | ---: | ---: |")
    for figure, name, peak, seconds in rows:
        print(f"| {figure} MiB | {name} | {peak // MIB} | {figure * 3 // 2 + 200} | {seconds:.0f} |")
    if "--check" in sys.argv:
        assert all(peak <= (figure * 3 // 2 + 200) * MIB for figure, _, peak, _ in rows), "too much memory"


if __name__ == "__main__":
    main()
