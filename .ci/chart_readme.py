"""Writes the chart's README from the comments in its values.yaml: one table for each group of values."""

import json
import pathlib
import re
import sys

import yaml

INTRODUCTION = """\
# feishu-pulse on Kubernetes

<!-- Written by `just generate` from the comments in values.yaml; do not edit. -->

One gateway in front of Feishu's `admin_user_stats`, with a volume for its archive. `NOTES.txt` tells after the installation
what to do next; [docs/operations.md](../../docs/operations.md) is for those who look after it.

```sh
kubectl create secret generic feishu-app --from-literal=app-id=cli_… --from-file=app-secret=./app-secret
helm install pulse helm/feishu-pulse --set image.repository=registry.example.com/feishu-pulse \\
  --set feishu.existingSecret=feishu-app --set settings.allowAnonymous=true    # or, better, access.…
helm test pulse
```

`ci/` holds values that the chart is checked with; `s3-values.yaml` and `ingress-values.yaml` are examples too.

## Values
"""

KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z0-9]+):")


def comments(text):
    """The comment above each key, by the key's path."""
    found, path, above = {}, [], []
    for line in text.splitlines():
        key = KEY.match(line)
        if line.strip().startswith("#"):
            above.append(line.strip().removeprefix("#").strip())
        elif key:
            path = path[: len(key["indent"]) // 2] + [key["name"]]
            found[".".join(path)] = " ".join(above)
            above = []
        else:
            above = []
    return found


def leaves(path, value, told):
    """Every value that has a comment of its own, and nothing below it that has one."""
    below = isinstance(value, dict) and any(text and key.startswith(f"{path}.") for key, text in told.items())
    if not below:
        return [(path, value)]
    return [leaf for key, inner in value.items() for leaf in leaves(f"{path}.{key}", inner, told)]


def table(rows, told):
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, value in rows:
        meaning = told.get(path)
        if not meaning:
            sys.exit(f"values.yaml: {path} has no comment")
        shown = json.dumps(value, ensure_ascii=False).replace("|", "\\|")
        lines.append(f"| `{path}` | `{shown}` | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def main(chart):
    text = (pathlib.Path(chart) / "values.yaml").read_text()
    values, told = yaml.safe_load(text), comments(text)
    parts, alone = [], []
    for name, value in values.items():
        rows = leaves(name, value, told)
        if rows == [(name, value)]:
            alone += rows
        else:
            parts.append("\n".join(filter(None, [f"### {name}\n", told[name] and told[name] + "\n", table(rows, told)])))
    print("\n".join([INTRODUCTION, *parts, "### Others\n", table(alone, told)]), end="")


main(sys.argv[1])
