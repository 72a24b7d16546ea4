"""Validates rendered manifests strictly against the schemas of Kubernetes, and custom resources against .ci/schemas."""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

SCHEMAS = {path.stem: json.loads(path.read_text()) for path in pathlib.Path(__file__).with_name("schemas").glob("*.json")}


def valid(document, versions):
    if document["kind"] in SCHEMAS:
        jsonschema.validate(document, SCHEMAS[document["kind"]])
        return
    for version in versions:
        kubernetes_validate.validate(document, version, strict=True)


def main(file, *versions):
    documents = [document for document in yaml.safe_load_all(pathlib.Path(file).read_text()) if document]
    if not documents:
        sys.exit(f"{file}: no manifest was rendered")
    names = set()
    for document in documents:
        name = f"{document['kind']}/{document['metadata']['name']}"
        if name in names:
            sys.exit(f"{file}: {name} is rendered twice")
        names.add(name)
        try:
            valid(document, versions)
        except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
            sys.exit(f"{file}: {name}: {error.message}")
    print(f"{len(documents)} objects, all valid")


main(*sys.argv[1:])
