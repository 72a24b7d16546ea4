"""Checks that the Dockerfile copies every file that a source includes, and that .dockerignore does not hold it back.

A file that is missing there fails the build of the image, which no other check does.
"""

import re
import sys
from fnmatch import fnmatch
from pathlib import Path

INCLUDE = re.compile(r"include_(?:str|bytes)!\(\s*\"([^\"]+)\"")


def is_covered(path, patterns):
    """Whether a pattern is the path, a folder above it, or matches it. A star does not match a slash."""
    parents = [path, *list(path.parents)[:-1]]
    return any(fnmatch(str(part), pattern) and str(part).count("/") == pattern.count("/") for part in parents for pattern in patterns)


def main():
    root = Path.cwd().resolve()
    dockerfile = Path("Dockerfile").read_text(encoding="utf-8")
    copied = [source for line in re.findall(r"^COPY (?!--)(.+)$", dockerfile, re.MULTILINE) for source in line.split()[:-1]]
    allowed = [line[1:] for line in Path(".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    included = {
        (source.parent / name).resolve().relative_to(root): source
        for source in Path("src").rglob("*.rs")
        for name in INCLUDE.findall(source.read_text(encoding="utf-8"))
    }
    assert included, "no source includes a file"
    missing = [f"{path}, which {source} includes" for path, source in included.items() if not (is_covered(path, copied) and is_covered(path, allowed))]
    if missing:
        sys.exit("not in the image's build: " + "; ".join(missing))
    print(f"{len(included)} included files are copied")


main()
