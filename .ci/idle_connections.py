"""Opens idle connections to a gateway and checks that other requests are still answered.

The gateway is a separate process, because each end of a connection needs a file descriptor of the limited number of a process.
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
# The connection limit of the second gateway, the number of connections beyond it, and how many of these are open at a time.
LIMIT, EXCESS, BATCH = 100, 2000, 200
SLOW = 50
# The timeout of the first request header in seconds, and the tolerance for a busy machine.
FIRST_REQUEST_TIMEOUT, TOLERANCE = 10, 20


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def connect(address):
    return socket.create_connection(address, timeout=TOLERANCE)


def response(stream):
    """One response with a Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = stream.recv(65536)
        if not more:
            return received
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += stream.recv(65536)
    return head


def memory(process):
    """Resident bytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def processor(process):
    """Seconds of CPU time."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def gateway(binary, connections, **changes):
    """A gateway on loopback and its address. Without changes of its settings, it does not call Feishu."""
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
            **changes,
        }
        process = subprocess.Popen([binary, "serve"], env=settings, stdin=subprocess.DEVNULL, stderr=log)
        try:
            deadline = time.monotonic() + TOLERANCE
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
    """Connections that are idle after one response."""
    streams = []
    for _ in range(0, count, BATCH):
        some = [connect(address) for _ in range(min(BATCH, count - len(streams)))]
        for stream in some:
            stream.sendall(request("/livez"))
        for stream in some:
            assert response(stream).startswith(b"HTTP/1.1 200")
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
            another.sendall(request("/v1/coverage"))
            assert response(another).startswith(b"HTTP/1.1 200")
            took = time.monotonic() - asked_at
        # The idle connections are still usable.
        for stream in streams[:: len(streams) // 100]:
            stream.sendall(request("/v1/coverage"))
            assert response(stream).startswith(b"HTTP/1.1 200")
        print(f"{IDLE} idle connections: {each / 1024:.1f} KiB each; another request is answered in {took * 1e3:.1f} ms")
        for stream in slow:
            stream.settimeout(max(0.1, began + FIRST_REQUEST_TIMEOUT + TOLERANCE - time.monotonic()))
            with contextlib.suppress(ConnectionResetError):
                assert stream.recv(1) == b"", "a client that sends one byte only got a response"
        print(f"{SLOW} clients that sent only one byte were disconnected")
        for stream in warm + streams + slow:
            stream.close()


def beyond_the_limit(binary):
    with gateway(binary, LIMIT) as (process, address):
        within = idle(address, LIMIT)
        used = processor(process)
        for _ in range(EXCESS // BATCH):
            crowd = [connect(address) for _ in range(BATCH)]
            for stream in crowd:
                with contextlib.suppress(ConnectionError):
                    stream.sendall(request("/livez"))
                    assert stream.recv(1) == b"", "a connection beyond the limit got a response"
                stream.close()
        used = (processor(process) - used) / EXCESS
        for stream in within:
            stream.sendall(request("/v1/coverage"))
            assert response(stream).startswith(b"HTTP/1.1 200")
            stream.close()
        print(f"{EXCESS} beyond the limit of {LIMIT} were closed, {used * 1e6:.0f} µs each; existing connections are answered")


if __name__ == "__main__":
    ten_thousand(sys.argv[1])
    beyond_the_limit(sys.argv[1])
