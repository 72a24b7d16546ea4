"""The report of main.rs, asked of DuckDB on the same files. Prints lines of JSON. Needs duckdb."""

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
    # Each active user-day counts in the windows that end on it or later; a person once in each.
    return f"""WITH active AS (SELECT date, user_id FROM {ROWS} AND active)
    SELECT ending, count(DISTINCT user_id) FROM (
        SELECT date + CAST(later AS INTEGER) AS ending, user_id FROM active, range({window}) AS r(later))
    WHERE ending <= DATE '{last}' GROUP BY ending ORDER BY ending"""


QUESTIONS = {
    "sums": [SUMS],
    # The whole of what the report answers: distinct people over 7 and 30 days as well.
    "all": [SUMS, distinct(7), distinct(30)],
}

for name, queries in QUESTIONS.items():
    times = []
    for _ in range(3):
        # A connection of its own: nothing of the files is remembered.
        connection = duckdb.connect()
        started = time.perf_counter()
        for query in queries:
            connection.sql(query).fetchall()
        times.append((time.perf_counter() - started) * 1e3)
        connection.close()
    print(json.dumps({"question": name, "ms": round(statistics.median(times), 1)}))
