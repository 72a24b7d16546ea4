"""Combines the measurements of several sizes into one table, with the growth from the first size to the last."""

import json
import math
import re
import sys
from pathlib import Path


def figures(path):
    """The figures of one size, by name."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        # A row of the benchmark of large tenants: a figure and its value.
        row = re.fullmatch(r"\| (.*) \| ([\d.]+) \|.*\|", line)
        if row:
            found[f"from the archive: {row[1]}"] = float(row[2])
        if not line.startswith("{"):
            continue
        line = json.loads(line)
        if "query" in line:
            found[f"{line['query']}: first answer, ms"] = line["first_ms"]
            found[f"{line['query']}: minimum, ms"] = line["min_ms"]
        elif line.get("note") == "resident memory, KiB":
            found["resident memory, MiB"] = round(line["now"] / 1024)
            found["highest resident memory, MiB"] = round(line["highest"] / 1024)
    return found


# An argument is a folder and a size: `out/20000`, `out/digests:500000`.
sizes = [(Path(argument).name, Path(argument.replace("digests:", ""))) for argument in sys.argv[1:]]
columns = [(name.removeprefix("digests:"), figures(path)) for name, path in sizes]
names = list(dict.fromkeys(name for _, column in columns for name in column))
people = [int(name) for name, _ in columns]
print(f"| figure | {' | '.join(f'{count:,} people' for count in people)} | grows with people to the power of |")
print(f"| --- | {'---: | ' * len(people)}---: |")
for name in names:
    values = [column.get(name) for _, column in columns]
    known = [(count, value) for count, value in zip(people, values) if value]
    growth = ""
    if len(known) > 1:
        (fewest, small), (most, large) = known[0], known[-1]
        growth = f"{math.log(large / small) / math.log(most / fewest):.2f}"
    cells = ["" if value is None else f"{value:,}" for value in values]
    print(f"| {name} | {' | '.join(cells)} | {growth} |")
