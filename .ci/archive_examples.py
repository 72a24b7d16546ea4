"""Runs the fenced SQL and Python examples of a Markdown file; those marked `no-run` are skipped."""

import re
import sys

import duckdb

page = open(sys.argv[1], encoding="utf-8").read()
examples = re.findall(r"^```(sql|python)( no-run)?\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
ran = 0
for language, left_out, text in examples:
    if left_out:
        continue
    if language == "sql":
        rows = duckdb.sql(text).fetchall()
        print(f"{len(rows)} rows, the first {rows[0]}")
    else:
        exec(compile(text, sys.argv[1], "exec"), {})
    ran += 1
assert ran >= 4, f"only {ran} examples were found"
