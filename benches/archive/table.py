"""Prints the results of main.rs and duck.py as tables."""

import json
import sys


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.startswith("{")]


GOALS = {"start to /readyz, ms": 1000, "first year of activity, ms": 3000, "upstream calls": 0}
ours = {line["figure"]: line for line in read(sys.argv[1]) if "figure" in line}
print("| figure | median | worst | goal |")
print("| --- | ---: | ---: | ---: |")
for name, line in ours.items():
    print(f"| {name} | {line['median']:.0f} | {line['worst']:.0f} | {GOALS.get(name, '')} |")
cold = ours["first year of activity, ms"]["median"]
print("\n| DuckDB on the same files | ms | × ours |")
print("| --- | ---: | ---: |")
TEXTS = {"sums": "counts and sums by day", "all": "the same with distinct people over 7 and 30 days"}
for line in read(sys.argv[2]):
    print(f"| {TEXTS[line['question']]} | {line['ms']:.0f} | {line['ms'] / cold:.1f} |")
