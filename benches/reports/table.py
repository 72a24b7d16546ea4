"""Combines the measurements of main.rs and duckdb_polars.py into one table."""

import json
import sys

QUERIES = {
    "activity_by_day": ("activity by day for a year, all flags and counters", 100),
    "rolling_company": ("7- and 30-day distinct actives of each day of a year", 400),
    "rolling_one_department": ("the same of one department", 100),
    "departments_of_a_month": ("departments of a month, distinct people", 10),
    "departments_of_a_month_sums": ("the same, sums only", 100),
    "regular_by_month": ("people and users of each feature on a quarter of the days of each month, over a year", 50),
    "movement": ("movement of people by month over a year", 50),
    "top_100_by_messages": ("top 100 people by messages over a year", 20),
    "inactive_for_30_days": ("people inactive for 30 days: the first 100 and the total", 100),
    "month_as_csv": ("a month's rows as CSV", 1.5),
    "month_as_ndjson": ("a month's rows as NDJSON", 1.5),
    "month_as_parquet": ("a month's rows as Parquet", None),
}


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.startswith("{")]


ours = {line["query"]: line for line in read(sys.argv[1]) if "query" in line}
other_engines = {(line["engine"], line["query"]): line for line in read(sys.argv[2])}
print("| query | DuckDB ms | Polars ms | feishu-pulse ms | minimum ms | first run ms | DuckDB ÷ feishu-pulse | goal |")
print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
mismatches = []
for query, (text, goal) in QUERIES.items():
    ours_line, duckdb = ours[query], other_engines[("duckdb", query)]
    polars = other_engines.get(("polars", query), {}).get("ms", "")
    ratio = duckdb["ms"] / ours_line["ms"]
    goal = f"{goal} {'✓' if ratio >= goal else '✗'}" if goal else ""
    print(f"| {text} | {duckdb['ms']} | {polars} | {ours_line['ms']} | {ours_line['min_ms']} | {ours_line['first_ms']} | {ratio:.1f} | {goal} |")
    if duckdb["check"] is not None and ours_line["check"] is not None and duckdb["check"] != ours_line["check"]:
        mismatches.append((query, duckdb["check"], ours_line["check"]))
for line in read(sys.argv[1]):
    if "note" in line:
        print(json.dumps(line))
print()
print("| a small request during | median ms | × alone | p90 ms | p99 ms | maximum ms | export ms | CPUs of its reader | idle CPUs |")
print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
for line in read(sys.argv[1]):
    if "load" in line:
        figures = ["p50_ms", "ratio", "p90_ms", "p99_ms", "max_ms", "export_ms", "reader_cpus", "idle_cpus"]
        cells = ["" if line.get(figure) is None else str(line[figure]) for figure in figures]
        print(f"| {QUERIES.get(line['load'], [line['load']])[0]} | {' | '.join(cells)} |")
print()
# Measurements count only if the results are equal.
assert not mismatches, mismatches
print("All results equal those of DuckDB.")
