"""Runs the gateway with a simulated Feishu, Prometheus and a trace collector, and checks metrics, rules, dashboards and traces."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

CHART = pathlib.Path("helm/feishu-pulse/files").resolve()
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"

# Metrics that depend on the machine: without a memory limit there is no such metric.
OPTIONAL_METRICS = ("feishu_pulse_process_memory_limit_bytes",)

TIMEOUT_SECONDS = 60


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
        return response.read().decode()


def until(what, condition):
    """The first true result of `condition`, which may fail until then."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while True:
        last_error = None
        try:
            if result := condition():
                return result
        except OSError as error:
            last_error = error
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {TIMEOUT_SECONDS} s ({last_error or 'no result'})")
        time.sleep(0.2)


@contextlib.contextmanager
def running(command, log, **more):
    """A process, ended with the block."""
    with open(log, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **more)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def expressions():
    """Every expression of the dashboards, with Grafana's variables replaced."""
    for file in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*")
                assert "$" not in expression, expression
                yield panel["title"], expression


def evaluate(prometheus, expression):
    query = urllib.parse.urlencode({"query": expression})
    result = json.loads(get(f"http://{prometheus}/api/v1/query?{query}"))["data"]["result"]
    return [one for one in result if one["value"][1] != "NaN"]


@contextlib.contextmanager
def requests(url):
    """Sends requests until the block ends, because a rate needs two different scrapes."""
    over = threading.Event()

    def send():
        while not over.wait(0.5):
            get(url)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def check_metrics(admin):
    page = get(f"http://{admin}/metrics")
    lint = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False)
    if lint.returncode:
        sys.exit(f"promtool check metrics: {lint.stdout}{lint.stderr}")
    print(f"{page.count('# TYPE')} metrics, no lint warning")


def check_rules(prometheus):
    def loaded():
        groups = json.loads(get(f"http://{prometheus}/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

    rules = until("the rules", loaded)
    for rule in rules:
        if rule["health"] != "ok" or rule.get("state") == "firing":
            sys.exit(f"the rule {rule['name']} is {rule['health']}, {rule.get('state')}: {rule.get('lastError')}")
    print(f"{len(rules)} rules loaded, none fires")


def check_dashboards(prometheus):
    queries = [(title, expression) for title, expression in expressions() if not expression.startswith(OPTIONAL_METRICS)]
    for title, expression in queries:
        until(f"no data for the panel “{title}”: {expression}", lambda expression=expression: evaluate(prometheus, expression))
    print(f"{len(queries)} expressions of the dashboards, all with data")


def check_traces(log):
    """The collector logs each span. The span of the request is a child of the caller's span, and calls to Feishu are below it."""
    blocks = re.split(r"^Span #\d+$", log.read_text(), flags=re.MULTILINE)[1:]
    field = lambda block, name: re.search(rf"^ *{name} *: (.*)$", block, flags=re.MULTILINE).group(1)
    spans = [{name: field(block, name) for name in ("Trace ID", "Parent ID", "ID", "Name")} for block in blocks]
    parents = {span["ID"]: span["Parent ID"] for span in spans}
    request = next(span for span in spans if span["Trace ID"] == TRACE and span["Parent ID"] == CALLER)

    def is_below(span):
        while span and span != request["ID"]:
            span = parents.get(span)
        return bool(span)

    calls = [span for span in spans if span["Name"].endswith("/admin_user_stats") and is_below(span["ID"])]
    if not calls:
        sys.exit(f"no call to Feishu below {request}")
    print(f"{len(spans)} spans; {request['Name']} has {len(calls)} calls to Feishu below it")


def main(binary):
    scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    collector, upstream, listen, admin, prometheus, bucket, fleet = (free_address() for _ in range(7))
    start = lambda name, command, **more: stack.enter_context(running(command, scratch / f"{name}.log", **more))

    start("rotel", ["rotel-agent", "start", "--otlp-http-endpoint", collector, "--otlp-grpc-endpoint", free_address(),
                    "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"])
    # A low limit, so that the throttle reaches it and finds it.
    start("simulator", [binary, "simulate", "--listen", upstream, "--users", "300", "--limit", "20/s"])
    # The gateway is a fleet of one replica, so that the metrics of a fleet exist too.
    aws = {"AWS_ENDPOINT_URL": f"http://{bucket}", "AWS_REGION": "us-east-1",
           "AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "something"}
    start("bucket", ["moto_server", "--host", bucket.split(":")[0], "--port", bucket.split(":")[1]])
    subprocess.run([sys.executable, ".ci/make_bucket.py", f"http://{bucket}"], check=True, env={**os.environ, **aws})
    settings = {
        "FEISHU_APP_ID": "cli_demo", "FEISHU_APP_SECRET": "demo-secret", "FEISHU_BASE_URL": f"http://{upstream}",
        "PULSE_LISTEN": listen, "PULSE_ADMIN_LISTEN": admin, "PULSE_WARM_DAYS": "3",
        "PULSE_ARCHIVE": "s3://lake", "PULSE_STATE_DIR": str(scratch / "data"),
        "PULSE_FLEET": "archive", "PULSE_FLEET_LISTEN": fleet, "PULSE_FLEET_LEASE": "5s",
        **aws,
        "PULSE_UPSTREAM_MONTHLY_QUOTA": "100000", "PULSE_BUSINESS_METRICS": "on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector}",
    }
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "2s"},
        "rule_files": [str(CHART / "alerts.yaml")],
        "scrape_configs": [{"job_name": "pulse", "static_configs": [{"targets": [admin]}]}],
    }
    (scratch / "prometheus.yaml").write_text(json.dumps(configuration))
    start("prometheus", ["prometheus", f"--config.file={scratch / 'prometheus.yaml'}",
                         f"--storage.tsdb.path={scratch / 'tsdb'}", f"--web.listen-address={prometheus}"])

    with running([binary, "serve"], scratch / "gateway.log", env=settings):
        until("the gateway", lambda: get(f"http://{listen}/readyz"))
        get(f"http://{listen}/v1/reports/activity?period=30d", traceparent=f"00-{TRACE}-{CALLER}-01")
        get(f"http://{listen}/v1/user-days?period=7d&format=csv")
        check_metrics(admin)
        with requests(f"http://{listen}/v1/coverage"):
            check_dashboards(prometheus)
            check_rules(prometheus)
    check_traces(scratch / "rotel.log")


with contextlib.ExitStack() as stack:
    main(*sys.argv[1:])
