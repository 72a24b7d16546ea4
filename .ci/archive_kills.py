"""Kills a gateway during writes of its archive, many times, and reads the archive with other readers after each kill.

    archive_kills.py PATH-OF-feishu-pulse

Each reader must find the same rows, each row once, and no unfinished file. Exit code 1 otherwise.
"""

import datetime
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import duckdb
import pandas
import polars
import pyarrow.dataset

KILLS = 12
DAYS_PER_ROUND = 15
# A write that is never seen within this time is not waited for.
ROUND_SECONDS = 20
KEY = ["date", "user_id"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(url):
    for _ in range(600):
        try:
            return urllib.request.urlopen(url, timeout=2).read()
        except urllib.error.HTTPError:
            return None
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{url} does not answer")


def unfinished(archive):
    """The files that are being written, in the staging folder or beside the finished files."""
    staged = [path for path in archive.glob("_staging/*") if path.is_file()]
    return staged or [path for path in archive.glob("user_days/*/*/*/*") if "#" in path.name]


def finished(archive):
    """The number of days with a finished file."""
    return sum(1 for _ in archive.glob("user_days/*/*/*/part-0.parquet"))


def run_until_a_write(binary, environment, archive, url, days):
    """Starts a gateway, requests days, and kills it during a write after it has written a number of days. Returns whether
    that write was seen."""
    gateway = subprocess.Popen([binary, "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(url.split("/v1")[0] + "/livez")
        left_over, target = unfinished(archive), finished(archive) + days
        request = threading.Thread(target=lambda: wait_for(url), daemon=True)
        request.start()
        end = time.monotonic() + ROUND_SECONDS
        while time.monotonic() < end:
            if finished(archive) >= target and any(path not in left_over for path in unfinished(archive)):
                return True
        return False
    finally:
        gateway.send_signal(signal.SIGKILL)
        gateway.wait()


def rows(frame):
    return sorted((str(date)[:10], user) for date, user in frame)


def read(archive):
    """The rows of the archive as each reader returns them, with the reader's usual call."""
    folder = str(archive / "user_days")
    lake = pyarrow.dataset.dataset(folder, partitioning="hive").to_table(columns=KEY)
    glob = "user_days/*/*/*/*.parquet"
    duck = duckdb.sql(f"SELECT date, user_id FROM read_parquet('{archive / glob}', hive_partitioning = true)")
    return {
        "pandas": rows(pandas.read_parquet(folder, columns=KEY)[KEY].itertuples(index=False)),
        "pyarrow": rows(zip(*(lake.column(name).to_pylist() for name in KEY))),
        "polars": rows(polars.read_parquet(folder, hive_partitioning=True, columns=KEY).select(KEY).iter_rows()),
        "duckdb": rows(duck.fetchall()),
    }


def check(archive):
    """Compares the readers. Returns the number of rows."""
    names = {path.name for path in archive.glob("user_days/**/*") if path.is_file()}
    if names - {"part-0.parquet"}:
        sys.exit(f"readers see unfinished files: {sorted(names)}")
    found = read(archive)
    expected = found["duckdb"]
    if len(expected) != len(set(expected)):
        sys.exit("DuckDB reads rows twice")
    for reader, others in found.items():
        if others != expected:
            sys.exit(f"{reader} reads {len(others)} rows, DuckDB {len(expected)}")
    return len(expected)


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    folder = tempfile.TemporaryDirectory()
    archive = pathlib.Path(folder.name) / "data"
    upstream, port = free_port(), free_port()
    first = datetime.date.today() - datetime.timedelta(days=KILLS * DAYS_PER_ROUND + 10)
    credentials = {"FEISHU_APP_ID": "cli_demo", "FEISHU_APP_SECRET": "demo-secret"}
    simulator = subprocess.Popen(
        [binary, "simulate", "--listen", f"127.0.0.1:{upstream}", "--users", "400", "--days", "365"],
        env={**os.environ, **credentials}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{upstream}/")
        environment = {
            **os.environ, **credentials, "FEISHU_BASE_URL": f"http://127.0.0.1:{upstream}", "PULSE_WARM": "off",
            "PULSE_LISTEN": f"127.0.0.1:{port}", "PULSE_ARCHIVE": str(archive), "PULSE_STATE_DIR": folder.name,
        }
        during_writes = 0
        for kill in range(KILLS):
            start = first + datetime.timedelta(days=kill * DAYS_PER_ROUND)
            end = start + datetime.timedelta(days=DAYS_PER_ROUND - 1)
            url = f"http://127.0.0.1:{port}/v1/reports/activity?trailing=held&start_date={start}&end_date={end}"
            during_writes += run_until_a_write(binary, environment, archive, url, 1 + kill % 5)
            print(f"kill {kill + 1}: {check(archive)} rows, {len(unfinished(archive))} unfinished files", flush=True)
        if during_writes < KILLS // 2:
            sys.exit(f"only {during_writes} of {KILLS} kills were during a write")
        gateway = subprocess.Popen([binary, "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + ROUND_SECONDS
            while unfinished(archive) and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            gateway.send_signal(signal.SIGTERM)
            gateway.wait()
        if unfinished(archive):
            sys.exit(f"a start leaves unfinished files: {unfinished(archive)}")
    finally:
        simulator.terminate()
        simulator.wait()


main()
