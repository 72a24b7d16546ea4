"""Computes the report of main.rs with DuckDB on the same files. Prints lines of JSON. Needs duckdb."""

import json
import statistics
import sys
import time

import duckdb

lake, first, last = sys.argv[1:4]
COUNTERS = [
    "send_messenger_num", "create_docs_num", "create_cal_num", "vc_duration", "vc_num", "create_task_num",
    "email_send_count", "email_receive_count", "email_send_ext_count", "email_receive_ext_count",
    "email_send_in_count", "email_receive_in_count", "total_search_count", "quick_search_count", "tab_search_count",
]
FLAGS = ["activated", "active", "im_active", "docs_active", "cal_active", "vc_active", "search_active"]
ROWS = f"""read_parquet('{lake}/user_days/*/*/*/*.parquet', hive_partitioning = true)
    WHERE geo = 'cn' AND user_id_type = 'open_id' AND date BETWEEN DATE '{first}' AND DATE '{last}'"""
SUMS = f"""SELECT date, count(*) AS users,
    {", ".join(f"count(*) FILTER ({flag}) AS {flag}" for flag in FLAGS)},
    count(*) FILTER (create_task_num > 0) AS task_active,
    count(*) FILTER ({" + ".join(counter for counter in COUNTERS if counter.startswith("email"))} > 0) AS email_active,
    {", ".join(f"sum({counter}) AS {counter}" for counter in COUNTERS)}
    FROM {ROWS} GROUP BY date ORDER BY date"""


def distinct(window):
    # An active user-day counts in every window that contains it. Each window counts a person once.
    return f"""WITH active AS (SELECT date, user_id FROM {ROWS} AND active)
    SELECT ending, count(DISTINCT user_id) FROM (
        SELECT date + CAST(later AS INTEGER) AS ending, user_id FROM active, range({window}) AS r(later))
    WHERE ending <= DATE '{last}' GROUP BY ending ORDER BY ending"""


QUERIES = {
    "sums": [SUMS],
    # The complete report: the sums, and distinct people over 7 and 30 days.
    "all": [SUMS, distinct(7), distinct(30)],
}

for name, queries in QUERIES.items():
    times = []
    for _ in range(3):
        # A new connection each time, so that nothing is cached.
        connection = duckdb.connect()
        started = time.perf_counter()
        for query in queries:
            connection.sql(query).fetchall()
        times.append((time.perf_counter() - started) * 1e3)
        connection.close()
    print(json.dumps({"question": name, "ms": round(statistics.median(times), 1)}))
