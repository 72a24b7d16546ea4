"""Follows the addresses in the responses of a gateway below a path of nginx. The argument is the binary."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

PATH = "/pulse"
CREDENTIALS = {"FEISHU_APP_ID": "cli_demo", "FEISHU_APP_SECRET": "demo-secret"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url, method="GET", headers={}):
    with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=30) as response:
        return response.url, response.headers, response.read().decode(errors="replace")


def wait_for(url):
    for _ in range(200):
        try:
            return get(url)
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{url} does not respond")


def nginx_configuration(folder, port, upstream):
    """A proxy that removes the path, as a trailing slash in proxy_pass does, or passes it on."""
    return f"""
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location {PATH}/ {{ proxy_pass {upstream}; proxy_redirect off; proxy_set_header Host $http_host; }}
  }}
}}
"""


def check(base):
    """Follows the addresses below `base`."""
    host = base.removesuffix(PATH)
    below = lambda address: urllib.parse.urljoin(f"{host}/", address)

    dashboard, _, page = get(f"{base}/", headers={"Accept": "text/html"})
    assets = re.findall(r'(?:src|href)="(dashboard/[^"]+)"', page)
    assert len(assets) > 2, page
    for asset in assets:
        get(urllib.parse.urljoin(dashboard, asset))

    docs, _, page = get(f"{base}/docs")
    assert docs == f"{base}/docs/", docs
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page):
        get(urllib.parse.urljoin(docs, asset))
    _, _, script = get(urllib.parse.urljoin(docs, "swagger-initializer.js"))
    document = json.loads(get(urllib.parse.urljoin(docs, re.search(r'"([^"]*openapi\.json)"', script)[1]))[2])
    server = document["servers"][0]["url"]
    assert server == base, server
    get(f"{server}/v1/coverage?period=2d")

    link = get(f"{base}/v1/users?period=2d&limit=2")[1]["Link"]
    assert json.loads(get(below(re.match("<(.+)>", link)[1]))[2])["data"], link
    location = get(f"{base}/v1/backfills?period=2d", "POST")[1]["Location"]
    assert json.loads(get(below(location))[2])["id"] in location, location


def main(binary):
    with tempfile.TemporaryDirectory() as folder:
        started = []
        try:
            simulator, gateway, removing, passing = [free_port() for _ in range(4)]
            started.append(subprocess.Popen([binary, "simulate", "--listen", f"127.0.0.1:{simulator}", "--users", "20"]))
            for port, upstream in (removing, f"http://127.0.0.1:{gateway}/"), (passing, f"http://127.0.0.1:{gateway}"):
                state = pathlib.Path(folder) / str(port)
                state.mkdir()
                configuration = state / "nginx.conf"
                configuration.write_text(nginx_configuration(state, port, upstream))
                started.append(subprocess.Popen(["nginx", "-e", state / "error.log", "-c", configuration]))
                base = f"http://127.0.0.1:{port}{PATH}"
                environment = CREDENTIALS | {
                    "FEISHU_BASE_URL": f"http://127.0.0.1:{simulator}",
                    "PULSE_LISTEN": f"127.0.0.1:{gateway}",
                    "PULSE_PUBLIC_URL": base,
                    "PULSE_ARCHIVE": "none",
                    "PULSE_STATE_DIR": str(state),
                    "PULSE_WARM": "off",
                    "PULSE_LOG": "warn",
                }
                served = subprocess.Popen([binary, "serve"], env=os.environ | environment)
                started.append(served)
                wait_for(f"{base}/livez")
                check(base)
                served.terminate()
                served.wait(timeout=30)
                print(f"ok: a proxy that {'removes' if port == removing else 'passes on'} {PATH}")
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(timeout=30)


main(sys.argv[1])
