"""Writes the Grafana dashboards of the chart. The tables OPERATIONS, ADOPTION and REPORTS list the panels."""

import json
import sys

# Selects the pods of the chosen releases. Grafana replaces the variables that begin with a dollar sign.
PODS = 'job=~"$job"'
API = f'{PODS}, route!~"/livez|/readyz|/metrics"'
WIDTH = 24


def rate(metric, labels="", by=None):
    inside = ", ".join(filter(None, [PODS, labels]))
    return total(f"rate({metric}{{{inside}}}[$__rate_interval])", by)


def total(expression, by=None):
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def gauge(metric, labels="", by=None):
    return total(f"{metric}{{{', '.join(filter(None, [PODS, labels]))}}}", by)


def quantile(share, metric, labels=PODS, by=""):
    by = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({share}, sum by ({by}) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


# A panel: title, unit, description, and pairs of expression and legend; then options of its drawing.
def graph(title, unit, description, *queries, width=8, stacked=False):
    custom = {"fillOpacity": 20 if stacked else 5, "showPoints": "never", "stacking": {"mode": "normal" if stacked else "none"}}
    return panel("timeseries", title, unit, description, queries, width, {"custom": custom}, {"tooltip": {"mode": "multi"}})


def figure(title, unit, description, expression, width=4, steps=()):
    colours = [{"color": "green", "value": None}, *({"color": colour, "value": value} for value, colour in steps)]
    thresholds = {"thresholds": {"mode": "absolute", "steps": colours}}
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background" if steps else "value"}
    return panel("stat", title, unit, description, [(expression, "")], width, thresholds, options, height=4)


def panel(kind, title, unit, description, queries, width, defaults, options, height=8):
    targets = [{"refId": chr(65 + at), "expr": expr, "legendFormat": legend} for at, (expr, legend) in enumerate(queries)]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, **defaults}, "overrides": []},
        "options": options,
        "targets": targets,
    }


OPERATIONS = {
    "At a glance": [
        figure("Gateways", "none", "The number of scraped pods.", f"count(feishu_pulse_build_info{{{PODS}}})"),
        figure("Days behind", "none", "Days that Feishu has produced and that are not loaded yet. 0 a few minutes after 09:30.",
               f"max(feishu_pulse_late_partitions{{{PODS}}})", steps=[(1, "orange")]),
        figure("Failed requests", "percentunit", "Share of the last hour; the error budget is 0.5 % over 30 days.",
               f'(sum(rate(feishu_pulse_http_request_duration_seconds_count{{{API}, status="5xx"}}[1h])) or vector(0)) '
               f"/ sum(rate(feishu_pulse_http_request_duration_seconds_count{{{API}}}[1h]))",
               steps=[(0.005, "orange"), (0.05, "red")]),
        figure("Monthly quota used", "percentunit", "Share of PULSE_UPSTREAM_MONTHLY_QUOTA; empty if it is not set.",
               f"max(feishu_pulse_upstream_quota_used_calls{{{PODS}}} / feishu_pulse_upstream_quota_limit_calls{{{PODS}}})",
               steps=[(0.8, "orange"), (0.95, "red")]),
        figure("Backlog", "s", "Estimated time until all requested days are fetched.",
               f"max(feishu_pulse_backlog_seconds{{{PODS}}})"),
        figure("Archive", "none", "1 while the archive fails.", f"max(feishu_pulse_archive_failing{{{PODS}}})", steps=[(1, "red")]),
    ],
    "Callers": [
        graph("Requests", "reqps", "Requests by route.",
              (rate("feishu_pulse_http_request_duration_seconds_count", by="route"), "{{route}}"), stacked=True),
        graph("Responses", "reqps", "Responses by status class.",
              (rate("feishu_pulse_http_request_duration_seconds_count", by="status"), "{{status}}"), stacked=True),
        graph("Cache status", "reqps", "Responses by Cache-Status: from the cache, after a fetch, or stale with a refresh in the background.",
              (rate("feishu_pulse_http_request_duration_seconds_count", by="cache"), "{{cache}}"), stacked=True),
        graph("Latency", "s", "Time until the response head was sent, without probes.",
              (quantile(0.5, "feishu_pulse_http_request_duration_seconds", API), "median"),
              (quantile(0.95, "feishu_pulse_http_request_duration_seconds", API), "95 %"),
              (quantile(0.99, "feishu_pulse_http_request_duration_seconds", API), "99 %")),
        graph("Slowest routes", "s", "95th percentile of the time until the response head, for the five slowest routes.",
              (f"topk(5, {quantile(0.95, 'feishu_pulse_http_request_duration_seconds', API, 'route')})", "{{route}}")),
        graph("In flight", "none", "Requests without a response yet, and requests a second that joined the fetch of another request.",
              (gauge("feishu_pulse_http_requests_in_flight"), "requests"),
              (rate("feishu_pulse_collapsed_callers_total"), "collapsed a second")),
    ],
    "Feishu": [
        graph("Calls", "cps", "Calls by outcome.", (rate("feishu_pulse_upstream_calls_total", by="outcome"), "{{outcome}}"), stacked=True),
        graph("Rate", "cps", "Calls a second, the current target of the throttle, and the limit of Feishu once it is found.",
              (rate("feishu_pulse_upstream_permits_total"), "calls"),
              (gauge("feishu_pulse_upstream_calls_per_second"), "target"),
              (f"sum(feishu_pulse_upstream_limit_calls{{{PODS}}} / feishu_pulse_upstream_limit_window_seconds{{{PODS}}})", "limit")),
        graph("Refusals", "percentunit", "Share of calls that Feishu refused because of its rate limit.",
              (f"{rate('feishu_pulse_upstream_refusals_total')} / ({rate('feishu_pulse_upstream_permits_total')} > 0)", "refused")),
        graph("Latency of calls", "s", "Duration of calls to Feishu.",
              (quantile(0.5, "feishu_pulse_upstream_call_duration_seconds"), "median"),
              (quantile(0.95, "feishu_pulse_upstream_call_duration_seconds"), "95 %")),
        graph("Waiting calls", "none", "Calls that wait for a permit, by priority, and calls in flight.",
              (gauge("feishu_pulse_upstream_queued_calls", by="priority"), "{{priority}}"),
              (gauge("feishu_pulse_upstream_in_flight_calls"), "in flight")),
        graph("Wait time", "s", "Seconds that all calls together waited for permits, per second.", (rate("feishu_pulse_upstream_wait_seconds_total"), "waited")),
        graph("Monthly quota", "none", "Successful calls since the first of the month, and the quota.",
              (f"max(feishu_pulse_upstream_quota_used_calls{{{PODS}}})", "used"),
              (f"max(feishu_pulse_upstream_quota_limit_calls{{{PODS}}})", "limit")),
        graph("Access tokens", "cps", "Token requests by outcome.", (rate("feishu_pulse_token_requests_total", by="outcome"), "{{outcome}}")),
        graph("Backlog", "none", "Calls that the requested days still need, and page chains in flight.",
              (gauge("feishu_pulse_backlog_calls"), "calls"), (gauge("feishu_pulse_chains_in_flight"), "chains")),
    ],
    "Days": [
        graph("Memory lookups", "ops", "Lookups by result.",
              (rate("feishu_pulse_memory_lookups_total", by="result"), "{{result}}"), stacked=True),
        graph("Days in memory", "none", "Days by state: final or provisional.",
              (gauge("feishu_pulse_memory_partitions", by="state"), "{{state}}"), stacked=True),
        graph("Memory for days", "bytes", "Size of days, its limit, and the size of the dictionaries.",
              (gauge("feishu_pulse_memory_bytes"), "days"), (gauge("feishu_pulse_memory_limit_bytes"), "limit"),
              (gauge("feishu_pulse_dictionary_bytes"), "dictionaries")),
        graph("Fetches", "ops", "Started fetches, evicted days, and fetches in flight.",
              (rate("feishu_pulse_day_fetches_total"), "started"), (rate("feishu_pulse_memory_evictions_total"), "evicted"),
              (gauge("feishu_pulse_day_fetches_in_flight"), "in flight")),
        graph("Archive", "none", "Days that wait to be written, days dropped before that, and damaged files.",
              (gauge("feishu_pulse_archive_unwritten_partitions"), "waiting"),
              (gauge("feishu_pulse_archive_dropped_partitions_total"), "dropped"),
              (gauge("feishu_pulse_archive_damaged_files_total"), "damaged")),
        graph("Response cache", "reqps", "Requests that the response cache answered.",
              (rate("feishu_pulse_response_cache_hits_total"), "hits")),
        graph("Size of the response cache", "bytes", "Size of stored responses, and its limit.", (gauge("feishu_pulse_response_cache_bytes"), "stored"),
              (gauge("feishu_pulse_response_cache_capacity_bytes"), "limit")),
        graph("Backfills", "none", "Running jobs, their remaining days, and finished jobs by outcome.",
              (gauge("feishu_pulse_backfills_running"), "running"), (gauge("feishu_pulse_backfills_pending_partitions"), "remaining days"),
              (gauge("feishu_pulse_backfills_ended_total", by="outcome"), "{{outcome}}")),
    ],
    "Fleet": [
        graph("Leader", "none", "1 at the replica that calls Feishu. Degraded: it cannot renew its lease, and calls at a part of the rate. Empty "
              "without PULSE_FLEET, like the other panels of this row.",
              (f"feishu_pulse_fleet_leader{{{PODS}}}", "{{instance}}"), (f"feishu_pulse_fleet_degraded{{{PODS}}}", "{{instance}} degraded"),
              stacked=True),
        graph("Lease", "s", "Time left of the lease of the leader. The leader stops at 0.",
              (f"feishu_pulse_fleet_lease_seconds{{{PODS}}}", "{{instance}}")),
        graph("Changes of the leader", "none", "Changes in the last 15 minutes, by the replica that saw most of them.",
              (f"max(increase(feishu_pulse_fleet_leader_changes_total{{{PODS}}}[15m]))", "changes")),
        graph("Term", "none", "The highest term that each replica has seen. A replica that stays behind does not reach the store.",
              (f"feishu_pulse_fleet_term{{{PODS}}}", "{{instance}}")),
        graph("Latency of the store", "s", "99th percentile of the time until the store answered, or the operation failed.",
              (quantile(0.99, "feishu_pulse_fleet_store_seconds", by="operation"), "{{operation}}")),
        graph("Failures of the store", "ops", "Operations of the store without an answer.",
              (rate("feishu_pulse_fleet_store_failures_total", by="operation"), "{{operation}}")),
        graph("Requests to the leader", "reqps", "Requests of the other replicas to the leader, by outcome.",
              (rate("feishu_pulse_fleet_forwarded_total", by="outcome"), "{{outcome}}")),
    ],
    "Process": [
        graph("Memory", "bytes", "Resident memory of the process, and the limit of its container.",
              (f"process_resident_memory_bytes{{{PODS}}}", "{{instance}}"),
              (f"feishu_pulse_process_memory_limit_bytes{{{PODS}}}", "limit of {{instance}}"), width=12),
        graph("Uptime", "s", "Time since the process started.", (f"time() - process_start_time_seconds{{{PODS}}}", "{{instance}}"), width=12),
    ],
}

ADOPTION = {
    "The newest final day": [
        graph("Active people", "none", "People of the newest final day, by geo.",
              (f'max by (geo, status) (feishu_pulse_business_people{{{PODS}}})', "{{geo}} {{status}}"), width=12),
        graph("Adoption", "percentunit", "The share of active people who used a feature that day.",
              (f"max by (geo, feature) (feishu_pulse_business_adoption_ratio{{{PODS}}})", "{{geo}} {{feature}}"), width=12),
        figure("Day", "dateTimeAsIso", "Start of the newest final day.",
               f"1000 * max(feishu_pulse_business_day_timestamp_seconds{{{PODS}}})", width=8),
    ],
}


# A panel of the Infinity data source: it reads a report of the gateway for the time range of the dashboard. The columns are
# pairs of the field of the API and its title; the first one is the time or the label.
def report(title, description, kind, path, *columns, query="", width=24):
    first = "timestamp" if kind == "timeseries" else "string"
    target = {
        "refId": "A",
        "type": "json",
        "parser": "backend",
        "source": "url",
        "format": "timeseries" if kind == "timeseries" else "table",
        "url": f"/v1/reports/{path}?start_date=${{__from:date:YYYY-MM-DD}}&end_date=${{__to:date:YYYY-MM-DD}}{query}",
        "url_options": {"method": "GET"},
        "root_selector": "data",
        "columns": [{"selector": field, "text": text, "type": "number" if at else first} for at, (field, text) in enumerate(columns)],
    }
    drawn = panel(kind, title, "short", description, [], width, {}, {})
    return {**drawn, "datasource": {"type": INFINITY, "uid": "$datasource"}, "targets": [target]}


INFINITY = "yesoreyeram-infinity-datasource"
FEATURES = ["im", "docs", "cal", "vc", "search", "email", "task"]
REPORTS = {
    "Activity": [
        report("Active people", "Distinct people on each day, and over the 7 and 30 days that end with it.", "timeseries", "activity",
               ("start_date", "date"), ("active", "active"), ("wau", "7 days"), ("mau", "30 days")),
        report("Features", "Distinct people who used each feature on the day.", "timeseries", "activity", ("start_date", "date"),
               *((f"features.{feature}.active", feature) for feature in FEATURES)),
    ],
    "Departments": [
        report("Departments", "Figures of the time range, of the two upper levels.", "table", "departments", ("department_path", "department"),
               ("people", "people"), ("active_rate_per_day", "active rate a day"), ("regular_rate", "regular"), query="&depth=2"),
    ],
}


def reports_dashboard(uid, title, rows):
    # Figures of a day are there from 09:30 of the next one.
    time = {"from": "now-31d/d", "to": "now-1d/d"}
    return dashboard(uid, title, rows, [variable("datasource", "datasource", INFINITY)], time=time)


def laid_out(rows):
    """Rows of panels, from left to right and from top to bottom."""
    found, x, y = [], 0, 0
    for title, panels in rows.items():
        found.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        x, y = 0, y + 1
        for one in panels:
            size = one["gridPos"]
            if x + size["w"] > WIDTH:
                x, y = 0, y + height
            found.append({**one, "gridPos": {"x": x, "y": y, **size}})
            x, height = x + size["w"], size["h"]
        y += height
    return [{"id": number, **one} for number, one in enumerate(found, 1)]


def variable(name, kind, query, **more):
    return {"name": name, "type": kind, "query": query, "includeAll": kind == "query", "multi": kind == "query", **more}


def prometheus_dashboard(uid, title, rows):
    jobs = variable("job", "query", "label_values(feishu_pulse_build_info, job)", refresh=2, allValue=".*",
                    datasource={"type": "prometheus", "uid": "$datasource"},
                    current={"text": "All", "value": "$__all"})
    variables = [variable("datasource", "datasource", "prometheus"), jobs]
    return dashboard(uid, title, rows, variables, refresh="30s", time={"from": "now-6h", "to": "now"})


def dashboard(uid, title, rows, variables, **more):
    return {
        "uid": uid,
        "title": title,
        "tags": ["feishu-pulse"],
        "schemaVersion": 39,
        "editable": True,
        **more,
        "templating": {"list": variables},
        "panels": laid_out(rows),
    }


DASHBOARDS = {
    "operations": prometheus_dashboard("feishu-pulse-operations", "feishu-pulse: operations", OPERATIONS),
    "adoption": prometheus_dashboard("feishu-pulse-adoption", "feishu-pulse: adoption", ADOPTION),
    "reports": reports_dashboard("feishu-pulse-reports", "feishu-pulse: reports", REPORTS),
}

print(json.dumps(DASHBOARDS[sys.argv[1]], indent=1, ensure_ascii=False))
