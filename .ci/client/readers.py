"""Reads exports by their address, as analysts do: pandas, polars, DuckDB, fsspec and openpyxl."""

import datetime
import io
import json
import os
import re
import urllib.request
from pathlib import Path

import duckdb
import fsspec
import openpyxl
import pandas
import polars
import pyarrow.parquet

GATEWAY = os.environ["GATEWAY"]


def address(format: str, path: str = "/v1/user-days") -> str:
    return f"{GATEWAY}{path}.{format}?period=7d"


def read_by_ranges() -> int:
    """fsspec reads the footer, then the columns that are asked for, each with a range request."""
    with fsspec.open(address("parquet")) as file:
        return pyarrow.parquet.read_table(file, columns=["date", "active"]).num_rows


rows = len(pandas.read_csv(address("csv")))
print("pandas, CSV:", rows)
assert rows > 1000
assert read_by_ranges() == rows
assert len(pandas.read_parquet(address("parquet"))) == rows
assert len(pandas.read_json(address("ndjson"), lines=True)) == rows
assert polars.read_parquet(address("parquet")).height == rows
lazy = polars.scan_parquet(address("parquet")).filter(polars.col("active")).select(polars.len())
assert 0 < lazy.collect().item() < rows
assert polars.read_ndjson(urllib.request.urlopen(address("ndjson")).read()).height == rows
print("pandas, polars and fsspec: ok")

database = duckdb.connect()
try:
    database.execute("INSTALL httpfs; LOAD httpfs")
except duckdb.Error:
    # DuckDB downloads this extension from its own server, which not every machine reaches.
    print("DuckDB: httpfs is not available here; it sends the same range requests as polars")
else:
    count = database.execute(f"SELECT count(*) FROM read_parquet('{address('parquet')}')").fetchone()
    assert count == (rows,), count
    print("DuckDB: ok")

workbook = urllib.request.urlopen(address("xlsx")).read()
sheet = openpyxl.load_workbook(io.BytesIO(workbook), read_only=True).worksheets[0]
header, first, *others = sheet.iter_rows(values_only=True)
values = dict(zip(header, first))
assert len(others) + 1 == rows, len(others)
assert isinstance(values["date"], datetime.datetime) and isinstance(values["active"], bool), values
assert isinstance(values["send_messenger_num"], int) and isinstance(values["user_name"], str), values
names = set(pandas.read_csv(address("csv"))["user_name"])
assert names == {row[header.index("user_name")] for row in [first, *others]}
assert len(pandas.read_excel(io.BytesIO(workbook))) == rows
print("openpyxl and pandas, XLSX: ok")

# What Grafana's data source Infinity reads: each panel's address, and in each item the field of each column.
last = datetime.date.fromisoformat(values["date"].date().isoformat())
dates = {"from": last - datetime.timedelta(days=1), "to": last}
dashboard = json.loads(Path(os.environ["DASHBOARD"]).read_text())
targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
assert len(targets) >= 3
for target in targets:
    url = re.sub(r"\$\{__(from|to):date:YYYY-MM-DD\}", lambda match: str(dates[match[1]]), target["url"])
    items = json.load(urllib.request.urlopen(GATEWAY + url))[target["root_selector"]]
    assert items, url
    for item in items:
        for column in target["columns"]:
            value = item
            for name in column["selector"].split("."):
                value = value[name]
            assert isinstance(value, str if column["type"] != "number" else (int, float, type(None))), (url, column, value)
print("the queries of Grafana's dashboard: ok")
