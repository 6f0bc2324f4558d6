"""Holds objects against the schemas of Kubernetes' own API and of CustomResourceDefinitions.

Strict as `kubectl apply --validate=strict`: a field that the schema does not know is an error.
"""

import json
import pathlib

from chart import read_yaml

NUMBERS = {"integer": int, "number": (int, float), "boolean": bool, "string": str, "object": dict, "array": list}


class Schemas:
    """`kubernetes`, `prometheus_operator`: source trees of these projects."""

    def __init__(self, kubernetes, prometheus_operator):
        swagger = json.loads((pathlib.Path(kubernetes) / "api/openapi-spec/swagger.json").read_text())
        self.definitions = swagger["definitions"]
        self.kinds = {}
        for definition in self.definitions.values():
            for kind in definition.get("x-kubernetes-group-version-kind", []):
                self.kinds["/".join(filter(None, (kind["group"], kind["version"]))), kind["kind"]] = definition
        definitions = pathlib.Path(prometheus_operator) / "example/prometheus-operator-crd"
        for kind in ("servicemonitors", "podmonitors", "prometheusrules"):
            self.add_definition(read_yaml((definitions / f"monitoring.coreos.com_{kind}.yaml").read_text())[0])

    def add_definition(self, definition):
        """Knows the kind of a CustomResourceDefinition from now on."""
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            self.kinds[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema

    def errors(self, thing):
        """What is wrong with an object, each with the path of the field."""
        known = self.kinds.get((thing["apiVersion"], thing["kind"]))
        if known is None:
            return [f"no schema is known for {thing['apiVersion']} {thing['kind']}"]
        metadata = self.definitions["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]
        return [*self.walk(thing, known, ""), *self.walk(thing["metadata"], metadata, ".metadata")]

    def walk(self, value, schema, path):
        """Yields what is wrong with `value`, which stands at `path`."""
        if "$ref" in schema:
            schema = self.definitions[schema["$ref"].removeprefix("#/definitions/")]
        if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
            if not isinstance(value, (int, str)):
                yield f"{path}: neither a number nor a string"
            return
        kind = schema.get("type")
        # Python's booleans are integers.
        fits = kind is None or isinstance(value, NUMBERS[kind]) and (kind == "boolean" or not isinstance(value, bool))
        if value is None:
            yield f"{path}: null"
        elif not fits:
            yield f"{path}: {value!r} is no {kind}"
        elif isinstance(value, dict):
            yield from self._fields(value, schema, path)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.walk(item, schema.get("items", {}), f"{path}[{index}]")
        elif "enum" in schema and value not in schema["enum"]:
            yield f"{path}: {value!r} is none of {schema['enum']}"

    def _fields(self, value, schema, path):
        fields, others = schema.get("properties"), schema.get("additionalProperties")
        for name in schema.get("required", []):
            if name not in value:
                yield f"{path}.{name}: missing"
        for name, item in value.items():
            if fields is not None and name in fields:
                yield from self.walk(item, fields[name], f"{path}.{name}")
            elif isinstance(others, dict):
                yield from self.walk(item, others, f"{path}.{name}")
            elif fields is not None and not schema.get("x-kubernetes-preserve-unknown-fields"):
                yield f"{path}.{name}: no such field"
