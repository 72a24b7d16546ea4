"""Puts the figures of main.rs and rivals.py into one table."""

import json
import sys

QUESTIONS = {
    "activity_by_day": ("activity by day for a year, all flags and counters", 100),
    "rolling_company": ("7- and 30-day distinct actives of each day of a year", 400),
    "rolling_one_department": ("the same for one department", 100),
    "departments_of_a_month": ("departments of a month, distinct people", 10),
    "top_100_by_messages": ("top 100 people by messages over a year", 20),
    "inactive_for_30_days": ("first 100 of, and number of, people inactive for 30 days", 100),
    "month_as_csv": ("a month's rows as CSV", 1.5),
    "month_as_ndjson": ("a month's rows as NDJSON", 1.5),
}
# One endpoint answers both: activity by day comes with its trailing figures.
SAME = {"rolling_company": "activity_by_day"}


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.startswith("{")]


ours = {line["question"]: line for line in read(sys.argv[1]) if "question" in line}
theirs = {(line["engine"], line["question"]): line for line in read(sys.argv[2])}
print("| question | DuckDB ms | Polars ms | feishu-pulse ms | first time ms | × DuckDB | goal |")
print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
for question, (text, goal) in QUESTIONS.items():
    own = ours[SAME.get(question, question)]
    duckdb = theirs[("duckdb", question)]["ms"]
    polars = theirs.get(("polars", question), {}).get("ms", "")
    print(f"| {text} | {duckdb} | {polars} | {own['ms']} | {own['first_ms']} | {duckdb / own['ms']:.1f} | {goal} |")
for line in read(sys.argv[1]):
    if "note" in line:
        print(json.dumps(line))
