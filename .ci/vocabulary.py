"""Fails if two public types of the workspace share a name, or if a text uses a phrase that the project avoids.

Exceptions, each with a reason, stand in .ci/vocabulary-exceptions.txt. An exception that no longer applies fails too.
"""

import collections
import pathlib
import re
import subprocess
import sys

EXCEPTIONS = pathlib.Path(".ci/vocabulary-exceptions.txt")
PUBLIC_TYPE = re.compile(r"^\s*pub(?:\([^)]*\))?\s+(?:struct|enum|trait|type|union)\s+([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE)

# Phrases that a reader has to decode, and words of the former private vocabulary.
PHRASES = [
    "whoever",
    "whosever",
    "anew",
    "thereof",
    "in vain",
    "as good as none",
    "is told of",
    "are told of",
    "doorstep",
    "gatekeeper",
    "crew",
    "crews",
]
PHRASE = re.compile(r"\b(" + "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in PHRASES) + r")\b", re.IGNORECASE)

# Text files by their names' ends; a name without an end is a script or a Dockerfile.
TEXT = {"", ".rs", ".md", ".toml", ".yaml", ".yml", ".json", ".py", ".js", ".mjs", ".sh", ".txt", ".tpl", ".html", ".css", ".svg", ".snap"}
# The phrases themselves, data that a program made, and inputs of the fuzzer.
SKIPPED = re.compile(r"^(\.ci/vocabulary.*|Cargo\.lock|LICENSE|fuzz/seeds/.*|docs/images/hit-.*\.svg)$")


def tracked():
    # Also files that are not committed yet.
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    paths = (pathlib.Path(line) for line in listed.stdout.splitlines())
    return sorted(path for path in paths if path.is_file() and not SKIPPED.match(path.as_posix()))


def exceptions():
    """The exceptions as {(kind, subject): reason}; a line is `type NAME: reason` or `phrase PATH PHRASE: reason`."""
    listed = {}
    for number, line in enumerate(EXCEPTIONS.read_text().splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(type|phrase) ([^:]+): (\S.*)", line)
        if not match:
            sys.exit(f"{EXCEPTIONS}:{number}: expected `type NAME: reason` or `phrase PATH PHRASE: reason`")
        listed[match[1], match[2].strip()] = match[3]
    return listed


def shared_names(paths):
    """Public types by name, if more than one file defines the name."""
    places = collections.defaultdict(set)
    for path in paths:
        parts = path.parts
        if path.suffix == ".rs" and (parts[0] == "src" or parts[0] == "crates" and "src" in parts):
            for match in PUBLIC_TYPE.finditer(path.read_text()):
                places[match[1]].add(path.as_posix())
    return {name: sorted(files) for name, files in places.items() if len(files) > 1}


def phrases(paths):
    """(path, line, phrase) of each avoided phrase."""
    for path in paths:
        if path.suffix not in TEXT:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for match in PHRASE.finditer(text):
            yield path.as_posix(), text.count("\n", 0, match.start()) + 1, " ".join(match[1].lower().split())


def main():
    paths, allowed, used, faults = tracked(), exceptions(), set(), []
    for name, files in sorted(shared_names(paths).items()):
        if ("type", name) in allowed:
            used.add(("type", name))
        else:
            faults.append(f"the public type {name} is defined in {' and '.join(files)}")
    for path, line, phrase in phrases(paths):
        if ("phrase", f"{path} {phrase}") in allowed:
            used.add(("phrase", f"{path} {phrase}"))
        else:
            faults.append(f"{path}:{line}: avoid \"{phrase}\"")
    faults += [f"{EXCEPTIONS}: `{kind} {subject}` is not needed" for kind, subject in allowed if (kind, subject) not in used]
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(bool(faults))


main()
