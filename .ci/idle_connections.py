"""Opens connections to a gateway and says nothing on them, to see that all others are answered all the same.

The gateway is a process of its own: each end of a connection is a file, and a process has so many.
"""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IDLE = int(os.environ.get("CONNECTIONS", "10000"))
# How many the second gateway takes, how many more come, and how many of them at a time.
BOUND, EXCESS, AT_A_TIME = 100, 2000, 200
SLOW = 50
# The first request must be whole by then, in seconds; and how much later a busy machine may notice.
FIRST_REQUEST, LATE = 10, 20


def asked(path, close=False):
    ending = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{ending}\r\n".encode()


def connect(address):
    return socket.create_connection(address, timeout=LATE)


def answer(stream):
    """One answer whose length is told."""
    told = b""
    while b"\r\n\r\n" not in told:
        more = stream.recv(65536)
        if not more:
            return told
        told += more
    head, _, body = told.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += stream.recv(65536)
    return head


def memory(process):
    """Resident bytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def processor(process):
    """Seconds of processor time."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def gateway(binary, connections):
    """A gateway on loopback that asks nothing of Feishu, and its address."""
    with tempfile.TemporaryDirectory() as scratch, open(f"{scratch}/log", "w+") as log:
        settings = {
            "FEISHU_APP_ID": "cli_demo",
            "FEISHU_APP_SECRET": "demo-secret",
            "FEISHU_BASE_URL": "http://127.0.0.1:9",
            "PULSE_LISTEN": "127.0.0.1:0",
            "PULSE_ARCHIVE": "none",
            "PULSE_STATE_DIR": scratch,
            "PULSE_WARM": "off",
            "PULSE_LOG": "feishu_pulse::cli=info,warn",
            "PULSE_LOG_FORMAT": "json",
            "PULSE_MAX_CONNECTIONS": str(connections),
        }
        process = subprocess.Popen([binary, "serve"], env=settings, stdin=subprocess.DEVNULL, stderr=log)
        try:
            deadline = time.monotonic() + LATE
            place = None
            while not place:
                assert process.poll() is None and time.monotonic() < deadline, Path(log.name).read_text()
                place = Path(log.name).read_text().partition('"address":"')[2].partition('"')[0]
                time.sleep(0.02)
            host, _, port = place.rpartition(":")
            yield process, (host, int(port))
        finally:
            process.terminate()
            process.wait(30)


def idle(address, count):
    """Connections that were answered once and say nothing more."""
    streams = []
    for _ in range(0, count, AT_A_TIME):
        some = [connect(address) for _ in range(min(AT_A_TIME, count - len(streams)))]
        for stream in some:
            stream.sendall(asked("/livez"))
        for stream in some:
            assert answer(stream).startswith(b"HTTP/1.1 200")
        streams += some
    return streams


def ten_thousand(binary):
    with gateway(binary, IDLE + 100) as (process, address):
        slow = [connect(address) for _ in range(SLOW)]
        for stream in slow:
            stream.sendall(b"G")
        began = time.monotonic()
        warm = idle(address, 100)
        before = memory(process)
        streams = idle(address, IDLE - 100)
        each = (memory(process) - before) / len(streams)
        with connect(address) as another:
            asked_at = time.monotonic()
            another.sendall(asked("/v1/coverage"))
            assert answer(another).startswith(b"HTTP/1.1 200")
            took = time.monotonic() - asked_at
        # Those that were idle are there to be used.
        for stream in streams[:: len(streams) // 100]:
            stream.sendall(asked("/v1/coverage"))
            assert answer(stream).startswith(b"HTTP/1.1 200")
        print(f"{IDLE} idle connections: {each / 1024:.1f} KiB each; another is answered in {took * 1e3:.1f} ms")
        for stream in slow:
            stream.settimeout(max(0.1, began + FIRST_REQUEST + LATE - time.monotonic()))
            with contextlib.suppress(ConnectionResetError):
                assert stream.recv(1) == b"", "a client that sends a byte and no more is answered"
        print(f"{SLOW} clients that sent one byte and no more were cut off")
        for stream in warm + streams + slow:
            stream.close()


def one_too_many(binary):
    with gateway(binary, BOUND) as (process, address):
        within = idle(address, BOUND)
        used, refused, closed = processor(process), 0, 0
        for _ in range(EXCESS // AT_A_TIME):
            crowd = [connect(address) for _ in range(AT_A_TIME)]
            for stream in crowd:
                with contextlib.suppress(ConnectionError):
                    stream.sendall(asked("/v1/coverage"))
            for stream in crowd:
                try:
                    told = answer(stream)
                except ConnectionError:
                    told = b""
                assert not told or told.startswith(b"HTTP/1.1 503"), told
                refused, closed = refused + bool(told), closed + (not told)
                stream.close()
        used = (processor(process) - used) / EXCESS
        with connect(address) as probe:
            probe.sendall(asked("/readyz", close=True))
            assert answer(probe).startswith(b"HTTP/1.1 200"), "the probe is not answered"
        for stream in within:
            stream.sendall(asked("/v1/coverage"))
            assert answer(stream).startswith(b"HTTP/1.1 200")
            stream.close()
        print(f"{EXCESS} beyond the bound of {BOUND}: {refused} told 503, {closed} closed, {used * 1e6:.0f} µs each; "
              "probes and those within are answered")


if __name__ == "__main__":
    ten_thousand(sys.argv[1])
    one_too_many(sys.argv[1])
