"""Every request and reply of the tests, held against api/openapi.yaml."""
import pathlib
import re

import jsonschema
import yaml

PATH = pathlib.Path(__file__).resolve().parents[3] / "api" / "openapi.yaml"


def _with_nulls(node):
    """OpenAPI 3.0's `nullable` in JSON Schema's own words."""
    if isinstance(node, list):
        return [_with_nulls(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _with_nulls(value) for key, value in node.items()}
    if node.pop("nullable", None) is True:
        return {"anyOf": [node, {"type": "null"}]}
    return node


class Contract:
    def __init__(self, path=PATH):
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.document = _with_nulls(yaml.load(path.read_text(), loader))
        self._resolver = jsonschema.RefResolver("", self.document)
        self._paths = []
        for template, item in self.document["paths"].items():
            pattern = re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(template.rstrip("/")))
            self._paths.append((template.count("{"), re.compile(pattern + "/?$"), item))
        self._paths.sort(key=lambda entry: entry[0])  # literal paths before templates

    def _resolve(self, node):
        while "$ref" in node:
            _, node = self._resolver.resolve(node["$ref"])
        return node

    def operation(self, method, path):
        for _, pattern, item in self._paths:
            if pattern.match(path) and method.lower() in item:
                return item[method.lower()]
        return None

    def check(self, method, path, reply):
        """Fail when a reply of a route is not one that the contract describes."""
        operation = self.operation("GET" if method == "HEAD" else method, path)
        if operation is None:
            assert reply.status_code in (404, 405), f"{method} {path} is not in the contract"
            return
        responses = operation["responses"]
        described = responses.get(str(reply.status_code)) or responses.get("default")
        assert described, f"{method} {path}: {reply.status_code} is not in the contract"
        content = self._resolve(described).get("content", {})
        kind = reply.headers.get("Content-Type", "").split(";")[0]
        schema = content.get(kind, {}).get("schema")
        if kind == "application/json" and schema is not None and method != "HEAD":
            errors = list(jsonschema.Draft202012Validator(schema, resolver=self._resolver)
                          .iter_errors(reply.json()))
            assert not errors, f"{method} {path} {reply.status_code}: " + "; ".join(
                f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in errors[:5])


def load():
    return Contract() if PATH.exists() else None
