"""Puts the figures of main.rs and rivals.py into one table."""

import json
import sys

QUESTIONS = {
    "activity_by_day": ("activity by day for a year, all flags and counters", 100),
    "rolling_company": ("7- and 30-day distinct actives of each day of a year", 400),
    "rolling_one_department": ("the same for one department", 100),
    "departments_of_a_month": ("departments of a month, distinct people", 10),
    "departments_of_a_month_sums": ("the same, sums only", 100),
    "top_100_by_messages": ("top 100 people by messages over a year", 20),
    "inactive_for_30_days": ("first 100 of, and number of, people inactive for 30 days", 100),
    "month_as_csv": ("a month's rows as CSV", 1.5),
    "month_as_ndjson": ("a month's rows as NDJSON", 1.5),
    "month_as_parquet": ("a month's rows as Parquet", None),
}


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.startswith("{")]


ours = {line["question"]: line for line in read(sys.argv[1]) if "question" in line}
theirs = {(line["engine"], line["question"]): line for line in read(sys.argv[2])}
print("| question | DuckDB ms | Polars ms | feishu-pulse ms | least ms | first time ms | DuckDB ÷ ours | goal |")
print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
different = []
for question, (text, goal) in QUESTIONS.items():
    own, duckdb = ours[question], theirs[("duckdb", question)]
    polars = theirs.get(("polars", question), {}).get("ms", "")
    ratio = duckdb["ms"] / own["ms"]
    goal = f"{goal} {'✓' if ratio >= goal else '✗'}" if goal else ""
    print(f"| {text} | {duckdb['ms']} | {polars} | {own['ms']} | {own['least_ms']} | {own['first_ms']} | {ratio:.1f} | {goal} |")
    if duckdb["check"] is not None and own["check"] is not None and duckdb["check"] != own["check"]:
        different.append((question, duckdb["check"], own["check"]))
for line in read(sys.argv[1]):
    if "note" in line:
        print(json.dumps(line))
print()
print("| a small request beside | median ms | × alone | p90 ms | p99 ms | most ms | export ms | its reader's processors | idle processors |")
print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
for line in read(sys.argv[1]):
    if "beside" in line:
        figures = ["p50_ms", "ratio", "p90_ms", "p99_ms", "most_ms", "export_ms", "processors_of_reader", "processors_idle"]
        cells = ["" if line.get(figure) is None else str(line[figure]) for figure in figures]
        print(f"| {QUESTIONS.get(line['beside'], [line['beside']])[0]} | {' | '.join(cells)} |")
print()
# A fast answer that is wrong is worth nothing.
assert not different, different
print("Every answer equals DuckDB's.")
