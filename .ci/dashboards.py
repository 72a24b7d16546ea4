"""Writes the Grafana dashboards of the chart: what each panel shows is a line here, how Grafana wants it said is not."""

import json
import sys

# Of the pods of the chosen releases. Grafana fills in what begins with a dollar sign.
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


# A panel: its title, unit, what it tells, and pairs of an expression and its legend; then how it is drawn.
def graph(title, unit, told, *queries, width=8, stacked=False):
    custom = {"fillOpacity": 20 if stacked else 5, "showPoints": "never", "stacking": {"mode": "normal" if stacked else "none"}}
    return panel("timeseries", title, unit, told, queries, width, {"custom": custom}, {"tooltip": {"mode": "multi"}})


def figure(title, unit, told, expression, width=4, steps=()):
    colours = [{"color": "green", "value": None}, *({"color": colour, "value": value} for value, colour in steps)]
    thresholds = {"thresholds": {"mode": "absolute", "steps": colours}}
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background" if steps else "value"}
    return panel("stat", title, unit, told, [(expression, "")], width, thresholds, options, height=4)


def panel(kind, title, unit, told, queries, width, defaults, options, height=8):
    targets = [{"refId": chr(65 + at), "expr": expr, "legendFormat": legend} for at, (expr, legend) in enumerate(queries)]
    return {
        "type": kind,
        "title": title,
        "description": told,
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, **defaults}, "overrides": []},
        "options": options,
        "targets": targets,
    }


OPERATIONS = {
    "At a glance": [
        figure("Gateways", "none", "Pods that are scraped.", f"count(feishu_pulse_build_info{{{PODS}}})"),
        figure("Days behind", "none", "Produced days that are not there yet; 0 from 09:30 on, a few minutes later.",
               f"max(feishu_pulse_late_partitions{{{PODS}}})", steps=[(1, "orange")]),
        figure("Failed requests", "percentunit", "Of the last hour; the error budget is 0.5 % over 30 days.",
               f'(sum(rate(feishu_pulse_http_request_seconds_count{{{API}, status="5xx"}}[1h])) or vector(0)) '
               f"/ sum(rate(feishu_pulse_http_request_seconds_count{{{API}}}[1h]))",
               steps=[(0.005, "orange"), (0.05, "red")]),
        figure("Month's calls used", "percentunit", "Of the calls that the operator allows; nothing without a limit.",
               f"max(feishu_pulse_upstream_quota_used_calls{{{PODS}}} / feishu_pulse_upstream_quota_limit_calls{{{PODS}}})",
               steps=[(0.8, "orange"), (0.95, "red")]),
        figure("Backlog", "s", "How long the calls that days wanted now still cost will probably take.",
               f"max(feishu_pulse_backlog_seconds{{{PODS}}})"),
        figure("Archive", "none", "1 while it fails.", f"max(feishu_pulse_archive_failing{{{PODS}}})", steps=[(1, "red")]),
    ],
    "Callers": [
        graph("Requests", "reqps", "By route.",
              (rate("feishu_pulse_http_request_seconds_count", by="route"), "{{route}}"), stacked=True),
        graph("Answers", "reqps", "By class of status.",
              (rate("feishu_pulse_http_request_seconds_count", by="status"), "{{status}}"), stacked=True),
        graph("Where answers came from", "reqps", "As Cache-Status says: held, fetched first, or held and fetched anew.",
              (rate("feishu_pulse_http_request_seconds_count", by="cache"), "{{cache}}"), stacked=True),
        graph("Latency", "s", "Until the answer began, without probes.",
              (quantile(0.5, "feishu_pulse_http_request_seconds", API), "median"),
              (quantile(0.95, "feishu_pulse_http_request_seconds", API), "95 %"),
              (quantile(0.99, "feishu_pulse_http_request_seconds", API), "99 %")),
        graph("Slowest routes", "s", "95 % of requests were answered within this.",
              (f"topk(5, {quantile(0.95, 'feishu_pulse_http_request_seconds', API, 'route')})", "{{route}}")),
        graph("Under way", "none", "Requests whose answer has not begun, and callers who wait for another's fetch.",
              (gauge("feishu_pulse_http_requests_in_flight"), "requests"),
              (rate("feishu_pulse_collapsed_callers_total"), "collapsed a second")),
    ],
    "Feishu": [
        graph("Calls", "cps", "By how they ended.", (rate("feishu_pulse_upstream_calls_total", by="outcome"), "{{outcome}}"), stacked=True),
        graph("Rate", "cps", "What the throttle lets go, what it keeps at present, and what Feishu takes, once that is known.",
              (rate("feishu_pulse_upstream_permits_total"), "calls"),
              (gauge("feishu_pulse_upstream_calls_per_second"), "kept"),
              (f"sum(feishu_pulse_upstream_limit_calls{{{PODS}}} / feishu_pulse_upstream_limit_window_seconds{{{PODS}}})", "limit")),
        graph("Refusals", "percentunit", "Calls refused for their rate, of all.",
              (f"{rate('feishu_pulse_upstream_refusals_total')} / ({rate('feishu_pulse_upstream_permits_total')} > 0)", "refused")),
        graph("Latency of calls", "s", "",
              (quantile(0.5, "feishu_pulse_upstream_call_seconds"), "median"),
              (quantile(0.95, "feishu_pulse_upstream_call_seconds"), "95 %")),
        graph("Waiting for a turn", "none", "Calls that wait, by who waits for them, and on their way.",
              (gauge("feishu_pulse_upstream_queued_calls", by="priority"), "{{priority}}"),
              (gauge("feishu_pulse_upstream_in_flight_calls"), "on their way")),
        graph("Seconds waited", "s", "By all calls together, in each second.", (rate("feishu_pulse_upstream_wait_seconds_total"), "waited")),
        graph("Month's calls", "none", "Successful calls since the first, and how many there may be.",
              (f"max(feishu_pulse_upstream_quota_used_calls{{{PODS}}})", "used"),
              (f"max(feishu_pulse_upstream_quota_limit_calls{{{PODS}}})", "limit")),
        graph("Access tokens", "cps", "Requests by how they ended.", (rate("feishu_pulse_token_requests_total", by="outcome"), "{{outcome}}")),
        graph("Backlog", "none", "What is wanted now, in calls and chains of pages.",
              (gauge("feishu_pulse_backlog_calls"), "calls"), (gauge("feishu_pulse_chains_in_flight"), "chains")),
    ],
    "Days": [
        graph("Memory lookups", "ops", "Days looked for by what was found.",
              (rate("feishu_pulse_memory_lookups_total", by="result"), "{{result}}"), stacked=True),
        graph("Days in memory", "none", "By whether they can still change.",
              (gauge("feishu_pulse_memory_partitions", by="state"), "{{state}}"), stacked=True),
        graph("Memory for days", "bytes", "Days, how much they may take, and the names beside them.",
              (gauge("feishu_pulse_memory_bytes"), "held"), (gauge("feishu_pulse_memory_limit_bytes"), "limit"),
              (gauge("feishu_pulse_directory_bytes"), "names")),
        graph("Fetches", "ops", "Fetches of a day begun, days evicted, and fetches under way.",
              (rate("feishu_pulse_day_fetches_total"), "begun"), (rate("feishu_pulse_memory_evictions_total"), "evicted"),
              (gauge("feishu_pulse_day_fetches_in_flight"), "under way")),
        graph("Archive", "none", "Days that wait to be written, were given up, or were found damaged.",
              (gauge("feishu_pulse_archive_unwritten_partitions"), "waiting"),
              (gauge("feishu_pulse_archive_forgone_partitions_total"), "given up"),
              (gauge("feishu_pulse_archive_damaged_files_total"), "damaged")),
        graph("Whole answers", "reqps", "Requests answered from an answer that was kept whole.",
              (rate("feishu_pulse_answer_hits_total"), "kept whole")),
        graph("Memory for answers", "bytes", "", (gauge("feishu_pulse_answer_cache_bytes"), "held"),
              (gauge("feishu_pulse_answer_cache_capacity_bytes"), "limit")),
        graph("Backfills", "none", "Jobs under way, the days they still have to see to, and how jobs ended.",
              (gauge("feishu_pulse_backfills_running"), "running"), (gauge("feishu_pulse_backfills_pending_partitions"), "days left"),
              (gauge("feishu_pulse_backfills_ended_total", by="outcome"), "{{outcome}}")),
    ],
    "Process": [
        graph("Memory", "bytes", "What the process takes, and what its container may take.",
              (f"process_resident_memory_bytes{{{PODS}}}", "{{instance}}"),
              (f"feishu_pulse_process_memory_limit_bytes{{{PODS}}}", "limit of {{instance}}"), width=12),
        graph("Up since", "s", "", (f"time() - process_start_time_seconds{{{PODS}}}", "{{instance}}"), width=12),
    ],
}

ADOPTION = {
    "The newest final day": [
        graph("Active people", "none", "People on the newest final day, by geo.",
              (f'max by (geo, status) (feishu_pulse_business_people{{{PODS}}})', "{{geo}} {{status}}"), width=12),
        graph("Adoption", "percentunit", "The share of active people who used a feature that day.",
              (f"max by (geo, feature) (feishu_pulse_business_adoption_ratio{{{PODS}}})", "{{geo}} {{feature}}"), width=12),
        figure("The day", "dateTimeAsIso", "The beginning of that day.",
               f"1000 * max(feishu_pulse_business_day_timestamp_seconds{{{PODS}}})", width=8),
    ],
}


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


def dashboard(uid, title, rows):
    jobs = variable("job", "query", "label_values(feishu_pulse_build_info, job)", refresh=2, allValue=".*",
                    datasource={"type": "prometheus", "uid": "$datasource"},
                    current={"text": "All", "value": "$__all"})
    return {
        "uid": uid,
        "title": title,
        "tags": ["feishu-pulse"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [variable("datasource", "datasource", "prometheus"), jobs]},
        "panels": laid_out(rows),
    }


DASHBOARDS = {
    "operations": dashboard("feishu-pulse-operations", "feishu-pulse: operations", OPERATIONS),
    "adoption": dashboard("feishu-pulse-adoption", "feishu-pulse: adoption", ADOPTION),
}

print(json.dumps(DASHBOARDS[sys.argv[1]], indent=1, ensure_ascii=False))
