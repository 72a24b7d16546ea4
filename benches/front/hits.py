"""Requests per second and CPU per request of cache hits: feishu-pulse, and nginx and Varnish caching its responses.

All three serve the same bytes in the same encoding, from memory, to 64 connections on loopback, one server after another on the
same machine. Each writes one line per request: nginx its access log, Varnish its shared log, feishu-pulse its audit log. The CPU
time is that of the server's processes as counted by the kernel. On a shared machine it varies less than the request rate.
"""

import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BINARY = sys.argv[1]
SECONDS = int(os.environ.get("SECONDS_EACH", "6"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
CONNECTIONS = 64
GATEWAY, UPSTREAM, NGINX, VARNISH = 18080, 18081, 18082, 18083
TICK = os.sysconf("SC_CLK_TCK")

# Requests by the length of their responses.
RANGE = "start_date={}&end_date={}"
REQUESTS = {
    "1 KB": "/v1/reports/activity?" + RANGE,
    "20 KB": "/v1/reports/activity?" + RANGE,
    "1 MB": "/v1/user-days?limit=1150&" + RANGE,
}

NGINX_CONF = """
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {folder}/nginx-access.log;
  proxy_temp_path {folder}/nginx-temp;
  client_body_temp_path {folder}/nginx-body;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  proxy_cache_path /dev/shm/feishu-pulse-bench-{pid} keys_zone=hits:10m max_size=256m inactive=60m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{gateway};
      proxy_cache hits;
      proxy_cache_key "$request_uri $http_accept_encoding";
      proxy_cache_valid 200 60m;
      proxy_ignore_headers Cache-Control Expires Vary;
    }}
  }}
}}
"""

VARNISH_VCL = """
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{gateway}"; }}
sub vcl_recv {{ return (hash); }}
sub vcl_hash {{ hash_data(req.url); hash_data(req.http.Accept-Encoding); return (lookup); }}
sub vcl_backend_response {{ unset beresp.http.Vary; set beresp.ttl = 1h; set beresp.uncacheable = false; return (deliver); }}
"""


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard > 0 else 65536, hard))
    with tempfile.TemporaryDirectory() as folder:
        started = []
        try:
            measure(pathlib.Path(folder), started)
        finally:
            for process in reversed(started):
                process.send_signal(signal.SIGTERM)
            for process in started:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def measure(folder, started):
    key = start_all(folder, started)
    headers = {"Authorization": f"Bearer {key}"}
    servers = {"feishu-pulse": (GATEWAY, started[1]), "nginx": (NGINX, started[2]), "Varnish": (VARNISH, started[3])}
    days = finished_days()
    cases = []
    for size, request in REQUESTS.items():
        path = request.format(days[-22] if size == "20 KB" else days[-1], days[-1])
        cases += [(size, path, {}), (f"{size} gzip", path, {"Accept-Encoding": "gzip"})]
    tag = fetch(GATEWAY, cases[0][1], headers)[1]["etag"]
    cases.append(("304", cases[0][1], {"If-None-Match": tag}))

    print(f"{CONNECTIONS} connections, {SECONDS} s per run, median of {ROUNDS} rounds, on {os.cpu_count()} CPUs\n")
    print("| response | server | requests/s | × nginx | × Varnish | CPU µs/request | × nginx |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for name, path, more in cases:
        report(name, servers, path, headers | more)


def report(name, servers, path, headers):
    bodies = {}
    for server, (port, _) in servers.items():
        for _ in range(3):
            bodies[server] = fetch(port, path, headers)[2]
    assert len(set(bodies.values())) == 1, f"{name}: the responses differ: { {k: len(v) for k, v in bodies.items()} }"
    runs = {server: [] for server in servers}
    for _ in range(ROUNDS):
        for server, (port, process) in servers.items():
            runs[server].append(run(port, process, path, headers))
    median = {server: [sorted(figures)[len(figures) // 2] for figures in zip(*all)] for server, all in runs.items()}
    (nginx_rate, nginx_cpu), (varnish_rate, _) = median["nginx"], median["Varnish"]
    for server, (rate, cpu) in median.items():
        length = f" ({len(bodies[server]):,} bytes)" if server == "feishu-pulse" else ""
        print(f"| {name}{length} | {server} | {rate:,.0f} | {rate / nginx_rate:.2f} | {rate / varnish_rate:.2f} "
              f"| {cpu:.1f} | {cpu / nginx_cpu:.2f} |", flush=True)


def run(port, process, path, headers):
    before = cpu(process.pid)
    fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", *fields, f"http://127.0.0.1:{port}{path}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if re.search(r"Non-2xx|Socket errors", output) and "If-None-Match" not in headers:
        sys.exit(f"port {port}: {output}")
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1))
    return rate, (cpu(process.pid) - before) / requests * 1e6


def cpu(pid):
    """CPU time of a process and its descendants in seconds."""
    total = 0.0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(stat.parent.name) == pid or is_below(int(stat.parent.name), pid):
            total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def is_below(pid, ancestor):
    while pid > 1:
        try:
            pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
        if pid == ancestor:
            return True
    return False


def start_all(folder, started):
    made = subprocess.run([BINARY, "key", "new", "--name", "bench", "--scope", "reports:read,users:read"],
                          check=True, capture_output=True, text=True)
    key = next(word for word in made.stderr.split() if word.startswith("fpk_"))
    (folder / "keys").write_text(made.stdout)
    environment = {
        **os.environ,
        "FEISHU_APP_ID": "cli_demo",
        "FEISHU_APP_SECRET": "demo-secret",
        "FEISHU_BASE_URL": f"http://127.0.0.1:{UPSTREAM}",
        "PULSE_LISTEN": f"127.0.0.1:{GATEWAY}",
        "PULSE_API_KEYS_FILE": str(folder / "keys"),
        "PULSE_ARCHIVE": "none",
        "PULSE_STATE_DIR": str(folder),
        "PULSE_WARM": "off",
        "PULSE_REQUESTS_PER_MINUTE": "none",
    }
    log = open(folder / "log", "wb")

    def start(*command, **more):
        started.append(subprocess.Popen(command, stdout=log, stderr=log, **more))

    start(BINARY, "simulate", "--listen", f"127.0.0.1:{UPSTREAM}", "--users", "2000", "--days", "60", "--limit", "none")
    start(BINARY, "serve", env=environment)
    wait_for(GATEWAY, "/livez", {})
    (folder / "nginx.conf").write_text(NGINX_CONF.format(user="user root;" if os.getuid() == 0 else "", folder=folder, pid=os.getpid(), port=NGINX, gateway=GATEWAY))
    start("nginx", "-c", str(folder / "nginx.conf"), "-g", "daemon off;")
    (folder / "hits.vcl").write_text(VARNISH_VCL.format(gateway=GATEWAY))
    # varnishd runs as the current user, because the folder belongs to that user.
    start("varnishd", "-F", "-j", "none", "-n", str(folder / "varnish"), "-a", f"127.0.0.1:{VARNISH}", "-f", str(folder / "hits.vcl"),
          "-s", "malloc,256m", "-p", "http_gzip_support=off")
    headers = {"Authorization": f"Bearer {key}"}
    days = finished_days()
    # Loads the days before the range as well, because figures over 30 days need them; then all responses are final.
    wait_for(GATEWAY, f"/v1/reports/activity?start_date={days[0]}&end_date={days[-1]}", headers)
    for port in (NGINX, VARNISH):
        wait_for(port, f"/v1/reports/activity?start_date={days[-1]}&end_date={days[-1]}", headers)
    return key


def finished_days():
    """The latest 55 days that are final, as ISO dates."""
    today = time.time() + 8 * 3600
    return [time.strftime("%Y-%m-%d", time.gmtime(today - back * 86400)) for back in range(57, 2, -1)]


def wait_for(port, path, headers):
    deadline = time.time() + 120
    while True:
        try:
            return fetch(port, path, headers)
        except OSError as error:
            if time.time() > deadline:
                raise SystemExit(f"port {port} does not respond to {path}: {error}") from error
            time.sleep(0.2)


def fetch(port, path, headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=100) as response:
            return response.status, {k.lower(): v for k, v in response.headers.items()}, response.read()
    except urllib.error.HTTPError as error:
        if error.code == 304:
            return 304, {k.lower(): v for k, v in error.headers.items()}, b""
        raise


if __name__ == "__main__":
    main()
