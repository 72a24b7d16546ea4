"""Runs the fenced SQL and Python examples of a Markdown file, but not those marked `no-run`.

SQL runs with DuckDB. If the file has SQL for ClickHouse, its unmarked queries run there too, and must have the same rows.
"""

import datetime
import json
import re
import sys

import duckdb

page = open(sys.argv[1], encoding="utf-8").read()
examples = re.findall(r"^```(sql|python)( duckdb| clickhouse|)( no-run|)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
examples = [(language, engine.strip(), text) for language, engine, left_out, text in examples if not left_out]

clickhouse = None
if any(engine == "clickhouse" for _, engine, _ in examples):
    from chdb.session import Session

    clickhouse = Session()


def in_clickhouse(query):
    answer = clickhouse.query(query.rstrip().removesuffix(";"), "JSONCompact").bytes()
    return json.loads(answer)["data"] if answer else []


def plain(value):
    """A value as JSON has it."""
    return value.isoformat() if isinstance(value, datetime.date) else value


for language, engine, text in examples:
    if language == "python":
        exec(compile(text, sys.argv[1], "exec"), {})
        continue
    if engine == "clickhouse":
        in_clickhouse(text)
        continue
    found = duckdb.execute(text).fetchall()
    if engine == "duckdb":
        continue
    rows = [[plain(value) for value in row] for row in found]
    assert rows, f"no rows: {text}"
    print(f"{len(rows)} rows, the first {rows[0]}")
    if clickhouse:
        other = in_clickhouse(text)
        assert other == rows, f"ClickHouse has other rows: {other}\n{text}"
assert len(examples) >= 4, f"only {len(examples)} examples were found"
