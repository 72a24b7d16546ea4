"""Runs the queries of main.rs in DuckDB and Polars, in process and over the same data in memory.

Prints one line of JSON for each query and engine. Needs duckdb, polars, pyarrow and numpy.
"""

import datetime
import json
import os
import statistics
import tempfile
import time

import duckdb
import numpy as np
import polars as pl

PEOPLE, DAYS = int(os.environ.get("PULSE_BENCH_PEOPLE", 100_000)), int(os.environ.get("PULSE_BENCH_DAYS", 365))
DEPARTMENTS = 300
# The formula counts days from BEGIN, independently of the number of generated days.
BEGIN, LAST = datetime.date(2025, 11, 1), datetime.date(2026, 10, 31)
FIRST = LAST - datetime.timedelta(days=DAYS - 1)
COUNTERS = [
    "send_messenger_num", "create_docs_num", "create_cal_num", "vc_duration", "vc_num", "create_task_num",
    "email_send_count", "email_receive_count", "email_send_ext_count", "email_receive_ext_count",
    "email_send_in_count", "email_receive_in_count", "total_search_count", "quick_search_count", "tab_search_count",
]
FEATURES = ["im_active", "docs_active", "cal_active", "vc_active", "search_active"]
person = np.arange(PEOPLE, dtype=np.uint64)


def hashed(day, purpose):
    x = (person << np.uint64(20)) ^ np.uint64((day << 8) ^ purpose)
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def of_day(day):
    first = hashed(0, 1) % DEPARTMENTS
    moves = (hashed(0, 2) % 20 == 0) & (day >= hashed(0, 6) % 365)
    department = np.where(moves, (first + 1) % DEPARTMENTS, first)
    propensity = 20 + hashed(0, 3) % 70
    today = propensity // 4 if day % 7 >= 5 else propensity
    active = hashed(day, 0) % 100 < today
    if day >= 300:
        active &= hashed(0, 4) % 20 != 0
    r, s = hashed(day, 5), hashed(day, 7)

    def used(shift, share):
        return active & (((r >> np.uint64(shift)) & np.uint64(127)) < share)

    features = im, docs, cal, vc, search = used(0, 120), used(7, 64), used(14, 51), used(21, 38), used(28, 25)
    limits = [
        (im, 0, 120), (docs, 8, 4), (cal, 16, 4), (vc, 24, 180), (vc, 24, 5), (cal, 32, 3), (active, 40, 10),
        (active, 48, 30), (active, 40, 4), (active, 48, 9), (active, 40, 7), (active, 48, 22), (search, 56, 8),
        (search, 56, 5), (search, 56, 3),
    ]
    columns = {
        "date": np.full(PEOPLE, np.datetime64(BEGIN + datetime.timedelta(days=day), "D")),
        "person": person.astype(np.int32),
        "registered": np.datetime64(BEGIN - datetime.timedelta(days=365), "D") + (hashed(0, 8) % 730).astype("timedelta64[D]"),
        "department": department.astype(np.int16),
        "activated": person % 50 != 0,
        "active": active,
    }
    columns |= dict(zip(FEATURES, features))
    for name, (on, shift, below) in zip(COUNTERS, limits):
        column = ((s >> np.uint64(shift)) & np.uint64(255)) % below
        columns[name] = np.where(on, column, 0).astype(np.int16)
    return pl.DataFrame(columns)


def measure(engine, query, run_query, check=None, rounds=5):
    """Runs the query once and then `rounds` times; `check` extracts the values that are compared with feishu-pulse."""
    answer = check(run_query()) if check else run_query()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        run_query()
        times.append((time.perf_counter() - started) * 1e3)
    line = {"engine": engine, "query": query, "ms": round(statistics.median(times), 2), "check": answer if check else None}
    print(json.dumps(line, default=int), flush=True)


def load():
    con = duckdb.connect()
    con.execute("CREATE TABLE department AS SELECT i::SMALLINT AS department, "
                "'总部/部' || (i // 30) || '/组' || (i % 30) AS path, i // 30 AS above FROM range(300) t(i)")
    frames = []
    for day in range((FIRST - BEGIN).days, (LAST - BEGIN).days + 1):
        frame = of_day(day)
        # Rows contain ids, names and paths as text, and numbers besides, so that queries need no text.
        con.execute(
            ("CREATE TABLE t AS" if not frames else "INSERT INTO t")
            + " SELECT f.*, format('ou_{:06d}', person) AS user_id, '员工 ' || person AS user_name, path AS "
            "department_path FROM frame f JOIN department USING (department) ORDER BY person"
        )
        frames.append(frame)
    return con, pl.concat(frames)


def run_duckdb(con):
    def run(sql):
        return con.execute(sql).fetchall()

    sums = ", ".join(f"sum({name})" for name in COUNTERS)
    flags = ", ".join(f"count(*) FILTER ({name})" for name in ["activated", "active", *FEATURES])
    measure("duckdb", "activity_by_day", lambda: run(f"SELECT date, count(*), {flags}, {sums} FROM t GROUP BY date ORDER BY date"),
          lambda rows: [sum(row[3] for row in rows), sum(row[9] for row in rows)])

    def rolling(where):
        # Each active day counts from its date until it leaves the window or the person's next active day begins.
        return [
            run(f"""WITH d AS (SELECT DISTINCT date, person FROM t WHERE active {where}),
                g AS (SELECT person, date, coalesce(lead(date) OVER (PARTITION BY person ORDER BY date), DATE '9999-01-01') AS later FROM d),
                e AS (SELECT date AS moment, 1 AS c FROM g UNION ALL
                      SELECT least(later, date + {length}) AS moment, -1 FROM g)
                SELECT moment, sum(sum(c)) OVER (ORDER BY moment) FROM e GROUP BY moment ORDER BY moment""")
            for length in (7, 30)
        ]

    # The value after the last change up to the middle day.
    middle = FIRST + datetime.timedelta(days=DAYS // 2)
    windows = lambda answers: [int([count for moment, count in rows if moment <= middle][-1]) for rows in answers]
    measure("duckdb", "rolling_company", lambda: rolling(""), windows, rounds=3)
    measure("duckdb", "rolling_one_department", lambda: rolling(f"AND department = {3 * 30 + 7}"), windows, rounds=3)
    month = "date BETWEEN DATE '2026-10-01' AND DATE '2026-10-31'"
    people = ", ".join(f"count(DISTINCT person) FILTER ({name})" for name in ["active", *FEATURES])
    measure("duckdb", "departments_of_a_month", lambda: run(
        f"SELECT above, department, {people}, {sums} FROM t JOIN department USING (department) WHERE {month} "
        "GROUP BY ROLLUP (above, department) ORDER BY above NULLS FIRST, department NULLS FIRST"),
        lambda rows: [sum(row[2] for row in rows), sum(row[8] for row in rows)], rounds=3)
    measure("duckdb", "departments_of_a_month_sums", lambda: run(
        f"SELECT above, department, {sums} FROM t JOIN department USING (department) WHERE {month} "
        "GROUP BY ROLLUP (above, department)"), lambda rows: sum(row[2] for row in rows))
    # People who were active, and who used each feature, on a quarter of the days of a month, rounded up.
    days = ", ".join(f"count(*) FILTER (active AND {name}) AS {name}_days" for name in ["active", *FEATURES])
    regular = ", ".join(f"count(*) FILTER ({name}_days >= least)" for name in ["active", *FEATURES])
    measure("duckdb", "regular_by_month", lambda: run(f"""
        WITH d AS (SELECT date_trunc('month', date) AS m, person, {days} FROM t GROUP BY m, person)
        SELECT m, {regular} FROM (SELECT *, (day(last_day(m)) + 3) // 4 AS least FROM d) GROUP BY m ORDER BY m"""),
        lambda rows: [sum(row[1] for row in rows), sum(row[2] for row in rows)], rounds=3)
    # People active in each month and people of its last day, each compared with those of the month before.
    measure("duckdb", "movement", lambda: run("""
        WITH a AS (SELECT DISTINCT date_trunc('month', date)::DATE AS m, person FROM t WHERE active),
        h AS (SELECT date_trunc('month', date)::DATE AS m, person FROM t WHERE date = last_day(date)),
        r AS (SELECT person, date_trunc('month', min(registered))::DATE AS registered FROM t GROUP BY person),
        now AS (SELECT a.m, b.person IS NOT NULL AS retained, r.registered = a.m AS fresh
            FROM a JOIN r USING (person) LEFT JOIN a b ON b.person = a.person AND b.m = a.m - INTERVAL 1 MONTH),
        s AS (SELECT m, count(*) AS active, count(*) FILTER (retained) AS retained,
            count(*) FILTER (NOT retained AND fresh) AS new, count(*) FILTER (NOT retained AND NOT fresh) AS reactivated
            FROM now GROUP BY m),
        d AS (SELECT h.m, count(*) AS newly_dormant FROM h JOIN a b ON b.person = h.person AND b.m = h.m - INTERVAL 1 MONTH
            ANTI JOIN a ON a.person = h.person AND a.m = h.m GROUP BY h.m),
        j AS (SELECT h.m, count(*) AS joined FROM h ANTI JOIN h b ON b.person = h.person AND b.m = h.m - INTERVAL 1 MONTH GROUP BY h.m),
        l AS (SELECT (b.m + INTERVAL 1 MONTH)::DATE AS m, count(*) AS "left" FROM h b
            ANTI JOIN h ON b.person = h.person AND b.m = h.m - INTERVAL 1 MONTH GROUP BY b.m)
        SELECT m, active, retained, new, reactivated, coalesce(newly_dormant, 0), coalesce(joined, 0), coalesce("left", 0)
        FROM s LEFT JOIN d USING (m) LEFT JOIN j USING (m) LEFT JOIN l USING (m) ORDER BY m"""),
        lambda rows: [sum(column) for column in list(zip(*rows[1:]))[1:]], rounds=3)
    measure("duckdb", "top_100_by_messages", lambda: run(
        "SELECT person, sum(send_messenger_num) AS n FROM t GROUP BY person ORDER BY n DESC, person LIMIT 100"),
        lambda rows: sum(row[1] for row in rows))
    measure("duckdb", "inactive_for_30_days", lambda: run(
        "SELECT person, count(*) OVER () FROM t GROUP BY person "
        "HAVING coalesce(max(date) FILTER (active), DATE '1970-01-01') < DATE '2026-10-02' ORDER BY person LIMIT 100"),
        lambda rows: [f"ou_{rows[0][0]:06}", rows[0][1]])
    names = ", ".join(["date", "user_id", "user_name", "department_path", "activated", "active", *FEATURES, *COUNTERS])
    for name, options in [("month_as_csv", "FORMAT csv, HEADER"), ("month_as_ndjson", "FORMAT json"),
                          ("month_as_parquet", "FORMAT parquet, COMPRESSION zstd")]:
        path = os.path.join(tempfile.gettempdir(), name)
        measure("duckdb", name, lambda: run(f"COPY (SELECT {names} FROM t WHERE {month}) TO '{path}' ({options})"), lambda rows: rows[0][0], rounds=3)
        os.remove(path)


def run_polars(frame):
    lazy = frame.lazy()
    flags = ["activated", "active", *FEATURES]
    measure("polars", "activity_by_day", lambda: lazy.group_by("date").agg(
        pl.len(), *[pl.col(name).sum() for name in flags + COUNTERS]).sort("date").collect()["active"][0])
    october = lazy.filter(pl.col("date") >= datetime.date(2026, 10, 1)).with_columns(above=pl.col("department") // 30)
    people = [pl.col("person").filter(pl.col(name)).n_unique().alias(name) for name in ["active", *FEATURES]]
    sums = [pl.col(name).sum() for name in COUNTERS]
    measure("polars", "departments_of_a_month", lambda: [
        october.group_by(*by).agg(*people, *sums).collect().height if by else october.select(*people, *sums).collect()["active"][0]
        for by in ([], ["above"], ["department"])][0], rounds=3)
    measure("polars", "top_100_by_messages", lambda: lazy.group_by("person").agg(
        pl.col("send_messenger_num").cast(pl.Int64).sum()).top_k(100, by="send_messenger_num").collect()["send_messenger_num"].max())
    measure("polars", "inactive_for_30_days", lambda: lazy.group_by("person").agg(
        last=pl.col("date").filter(pl.col("active")).max()).filter(
        pl.col("last").is_null() | (pl.col("last") < datetime.date(2026, 10, 2))).sort("person").collect().height)


if __name__ == "__main__":
    con, frame = load()
    run_duckdb(con)
    del con
    run_polars(frame)
