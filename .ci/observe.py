"""Runs the gateway before a simulated Feishu, between Prometheus and a collector of traces, and looks at what they see."""

import contextlib
import json
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

# Figures that depend on where the process runs: a container without a memory limit has none to tell.
MAY_BE_ABSENT = ("feishu_pulse_process_memory_limit_bytes",)

PATIENCE_SECONDS = 60


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1:%d" % probe.getsockname()[1]


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return answer.read().decode()


def until(what, happened):
    """The first true answer of `happened`, which may fail until then."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        trouble = None
        try:
            if answer := happened():
                return answer
        except OSError as error:
            trouble = error
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {PATIENCE_SECONDS} s ({trouble or 'nothing'})")
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
    """Every expression of the dashboards, as Grafana would ask it here."""
    for file in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"].replace("$__rate_interval", "1m").replace("$job", ".*")
                assert "$" not in expression, expression
                yield panel["title"], expression


def answer(prometheus, expression):
    query = urllib.parse.urlencode({"query": expression})
    result = json.loads(get(f"http://{prometheus}/api/v1/query?{query}"))["data"]["result"]
    return [one for one in result if one["value"][1] != "NaN"]


@contextlib.contextmanager
def callers(url):
    """Somebody who asks again and again: a rate is the difference of two scrapes."""
    over = threading.Event()

    def ask():
        while not over.wait(0.5):
            get(url)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def look_at_metrics(admin):
    page = get(f"http://{admin}/metrics")
    said = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False)
    if said.returncode:
        sys.exit(f"promtool check metrics: {said.stdout}{said.stderr}")
    print(f"{page.count('# TYPE')} figures, no complaint")


def look_at_rules(prometheus):
    def loaded():
        groups = json.loads(get(f"http://{prometheus}/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

    rules = until("the rules", loaded)
    for rule in rules:
        if rule["health"] != "ok" or rule.get("state") == "firing":
            sys.exit(f"the rule {rule['name']} is {rule['health']}, {rule.get('state')}: {rule.get('lastError')}")
    print(f"{len(rules)} rules loaded, none of them fires")


def look_at_dashboards(prometheus):
    asked = [(title, expression) for title, expression in expressions() if not expression.startswith(MAY_BE_ABSENT)]
    for title, expression in asked:
        until(f"no data for the panel “{title}”: {expression}", lambda expression=expression: answer(prometheus, expression))
    print(f"{len(asked)} expressions of the dashboards, all of them with data")


def look_at_traces(log):
    """The collector writes down each span it gets; the request's is below the caller's, and a call below the request's."""
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
        sys.exit(f"no call of Feishu below {request}")
    print(f"{len(spans)} spans; {request['Name']} has {len(calls)} calls of Feishu below it")


def main(binary):
    scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
    collector, upstream, listen, admin, prometheus = (free_address() for _ in range(5))
    start = lambda name, command, **more: stack.enter_context(running(command, scratch / f"{name}.log", **more))

    start("rotel", ["rotel-agent", "start", "--otlp-http-endpoint", collector, "--otlp-grpc-endpoint", free_address(),
                    "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"])
    # A limit that is soon met, so that the gateway finds it.
    start("simulator", [binary, "simulate", "--listen", upstream, "--users", "300", "--limit", "20/s"])
    settings = {
        "FEISHU_APP_ID": "cli_demo", "FEISHU_APP_SECRET": "demo-secret", "FEISHU_BASE_URL": f"http://{upstream}",
        "PULSE_LISTEN": listen, "PULSE_ADMIN_LISTEN": admin, "PULSE_WARM_DAYS": "3",
        "PULSE_ARCHIVE": str(scratch / "data"), "PULSE_STATE_DIR": str(scratch / "data"),
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
        look_at_metrics(admin)
        with callers(f"http://{listen}/v1/coverage"):
            look_at_dashboards(prometheus)
            look_at_rules(prometheus)
    look_at_traces(scratch / "rotel.log")


with contextlib.ExitStack() as stack:
    main(*sys.argv[1:])
