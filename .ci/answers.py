"""Reads Parquet responses with DuckDB and pandas and compares them with the CSV responses to the same requests."""

import pathlib
import sys

import duckdb
import pandas

TYPES = {
    "date": "DATE",
    "start_date": "DATE",
    "last_active_date": "DATE",
    "create_time": "TIMESTAMP WITH TIME ZONE",
    "active_days": "BIGINT",
    "send_messenger_num": "BIGINT",
    "activated": "BOOLEAN",
    "stickiness": "DOUBLE",
    "os_names": "VARCHAR[]",
    "clients": "STRUCT(os VARCHAR, client VARCHAR)[]",
}

files = sorted(pathlib.Path(sys.argv[1]).glob("*.parquet"))
assert files
for file in files:
    relation = duckdb.read_parquet(str(file))
    kinds = dict(zip(relation.columns, map(str, relation.types)))
    for name, kind in TYPES.items():
        # `activated` is a flag of a user-day and of a person, and a count in reports.
        expected = "BIGINT" if name == "activated" and file.stem not in ("user-days", "users", "user") else kind
        assert kinds.get(name, expected) == expected, (file.name, name, kinds[name])
    table = pandas.read_parquet(file)
    csv = pandas.read_csv(file.with_suffix(".csv"))
    rows = relation.aggregate("count(*)").fetchall()[0][0]
    assert list(table.columns) == list(csv.columns) == relation.columns, file.name
    assert len(table) == len(csv) == rows > 0, (file.name, len(table), len(csv), rows)
    for name in csv.select_dtypes("number").columns:
        assert (table[name].astype(float).fillna(-1) == csv[name].astype(float).fillna(-1)).all(), (file.name, name)
    print(f"{file.name}: {rows} rows, {len(table.columns)} columns")
days = pandas.read_parquet(next(file for file in files if file.stem == "user-days"))
assert str(days["create_time"].dt.tz) == "UTC"
