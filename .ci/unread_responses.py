"""Requests exports over HTTP/2 from a client that accepts no byte and answers pings, and measures the memory of the gateway.

The client writes its frames itself (RFC 9113), because client libraries do not keep a window at zero.
"""

import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

from idle_connections import gateway, memory, request, response

CONNECTIONS, REQUESTS = 16, 120
# The limits that the attack must stay within: resident bytes, and seconds until every stream has ended.
MAX_MEMORY, MAX_SECONDS = 300 << 20, 90
PATHS = {
    "exports": "/v1/user-days?period=30d&format=ndjson",
    "compressed exports": "/v1/user-days?period=30d&format=csv",
    "Parquet exports": "/v1/user-days?period=30d&format=parquet",
    "pages of JSON": "/v1/user-days?period=30d&limit=10000",
}
ENCODINGS = {"compressed exports": "zstd"}
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK, END_STREAM, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name, value):
    """A header field without compression (RFC 7541, section 6.2.2)."""
    text = b"\x00"
    for part in (name.encode(), value.encode()):
        length = bytes([len(part)]) if len(part) < 127 else b"\x7f" + bytes([len(part) - 127])
        text += length + part
    return text


class Unreading(threading.Thread):
    """A connection that sends requests, answers pings, and never opens a window."""

    def __init__(self, address, path, encoding):
        super().__init__(daemon=True)
        self.stream = socket.create_connection(address)
        self.open = set(range(1, 2 * REQUESTS, 2))
        self.pings = self.resets = 0
        host = f"{address[0]}:{address[1]}"
        fields = {":method": "GET", ":scheme": "http", ":path": path, ":authority": host, "accept-encoding": encoding}
        block = b"".join(field(*pair) for pair in fields.items())
        self.stream.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))
            + b"".join(frame(HEADERS, END_STREAM | END_HEADERS, number, block) for number in sorted(self.open))
        )

    def receive(self, count):
        received = b""
        while len(received) < count:
            more = self.stream.recv(count - len(received))
            if not more:
                raise ConnectionError
            received += more
        return received

    def run(self):
        try:
            while self.open:
                head = self.receive(9)
                length = int.from_bytes(head[:3], "big")
                kind, flags, number = struct.unpack(">BBI", head[3:])
                payload = self.receive(length)
                if kind == SETTINGS and not flags & ACK:
                    self.stream.sendall(frame(SETTINGS, ACK, 0))
                elif kind == PING and not flags & ACK:
                    self.pings += 1
                    self.stream.sendall(frame(PING, ACK, 0, payload))
                elif kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
                    self.resets += kind == RST_STREAM
                    self.open.discard(number)
        except OSError:
            self.open = set()


def simulator(binary):
    process = subprocess.Popen(
        [binary, "simulate", "--listen", "127.0.0.1:0", "--users", "2000", "--days", "35"],
        stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]},
    )
    return process, re.search(r"http://[\d.:]+\d", process.stdout.readline()).group()


def attack(process, address, path, encoding):
    before, began = memory(process), time.monotonic()
    threads = [Unreading(address, path, encoding) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    peak = 0
    while any(thread.is_alive() for thread in threads) and time.monotonic() < began + MAX_SECONDS + 30:
        peak = max(peak, memory(process))
        time.sleep(0.1)
    seconds = time.monotonic() - began
    for thread in threads:
        thread.stream.close()
    resets, pings = sum(thread.resets for thread in threads), sum(thread.pings for thread in threads)
    print(
        f"{CONNECTIONS} x {REQUESTS} unread {{name}}: {before >> 20} MiB before, at most {peak >> 20} MiB, all ended after "
        f"{seconds:.0f} s ({resets} streams reset, {pings} pings answered)".format(name=names[path])
    )
    assert peak < MAX_MEMORY, "too much memory"
    assert seconds < MAX_SECONDS, "the streams did not end"


if __name__ == "__main__":
    binary = sys.argv[1]
    names = {path: name for name, path in PATHS.items()}
    upstream, base = simulator(binary)
    try:
        for name, path in PATHS.items():
            with gateway(binary, 1000, FEISHU_BASE_URL=base, PULSE_CACHE_BYTES="64MiB") as (process, address):
                with socket.create_connection(address, timeout=120) as stream:
                    stream.sendall(request("/v1/user-days?period=30d&limit=1"))
                    assert response(stream).startswith(b"HTTP/1.1 200")
                attack(process, address, path, ENCODINGS.get(name, "identity"))
    finally:
        upstream.terminate()
        upstream.wait(30)
