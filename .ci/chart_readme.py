"""Writes the chart's README from the comments in its values.yaml: one table for each group of values."""

import json
import pathlib
import re
import sys

import yaml

INTRODUCTION = """\
# feishu-pulse on Kubernetes

<!-- Written by `just generate` from the comments in values.yaml; do not edit. -->

Installs one gateway with a volume for its archive, or several with a bucket and `fleet.store` ([docs/fleet.md](../../docs/fleet.md)). The
notes after the installation list the next steps; [docs/operations.md](../../docs/operations.md) is the guide for operators.

```sh
kubectl create secret generic feishu-app --from-literal=app-id=cli_… --from-file=app-secret=./app-secret
helm install pulse helm/feishu-pulse --set image.repository=registry.example.com/feishu-pulse \\
  --set feishu.existingSecret=feishu-app --set settings.allowAnonymous=true    # or, better, access.…
helm test pulse
```

The values files in `ci/` are used by the checks; `s3-values.yaml`, `redis-values.yaml` and `ingress-values.yaml` also serve as
examples.

## Values
"""

KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z0-9]+):")


def comments(text):
    """The comments above the keys, by the path of the key."""
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


def leaves(path, value, comments_by_key):
    """Every value with a comment of its own, or the values below it if these have comments."""
    below = isinstance(value, dict) and any(text and key.startswith(f"{path}.") for key, text in comments_by_key.items())
    if not below:
        return [(path, value)]
    return [leaf for key, inner in value.items() for leaf in leaves(f"{path}.{key}", inner, comments_by_key)]


def table(rows, comments_by_key):
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, value in rows:
        meaning = comments_by_key.get(path)
        if not meaning:
            sys.exit(f"values.yaml: {path} has no comment")
        shown = json.dumps(value, ensure_ascii=False).replace("|", "\\|")
        lines.append(f"| `{path}` | `{shown}` | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def main(chart):
    text = (pathlib.Path(chart) / "values.yaml").read_text()
    values, comments_by_key = yaml.safe_load(text), comments(text)
    parts, alone = [], []
    for name, value in values.items():
        rows = leaves(name, value, comments_by_key)
        if rows == [(name, value)]:
            alone += rows
        else:
            parts.append("\n".join(filter(None, [f"### {name}\n", comments_by_key[name] and comments_by_key[name] + "\n", table(rows, comments_by_key)])))
    print("\n".join([INTRODUCTION, *parts, "### Others\n", table(alone, comments_by_key)]), end="")


main(sys.argv[1])
