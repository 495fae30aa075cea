"""docs/openrpc.json as the tests use it: what a schema says, and what the server's source says."""

import json
import pathlib
import re

import jsonschema

TOP = pathlib.Path(__file__).resolve().parents[2]
API = json.loads((TOP / "docs/openrpc.json").read_text())
METHODS = {one["name"]: one for one in API["methods"]}
NOTIFICATIONS = {one["name"]: one for one in API["x-notifications"]}
ERRORS = API["components"]["errors"]


def strict(schema):
    """The same, without the leave to grow: an object has no members but those described."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(one) for name, one in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        closed.setdefault("additionalProperties", False)
    return closed


STRICT = strict(API)


def validator(schema):
    return jsonschema.Draft7Validator(schema, resolver=jsonschema.RefResolver("", STRICT))


RESULTS = {name: validator(strict(one["result"]["schema"])) for name, one in METHODS.items()}
PARAMS = {name: validator({
    "type": "object", "additionalProperties": False,
    "properties": {param["name"]: strict(param["schema"]) for param in one["params"]},
    "required": [param["name"] for param in one["params"] if param["required"]],
}) for name, one in METHODS.items()}
NOTES = {name: validator(strict(one["params"])) for name, one in NOTIFICATIONS.items()}
ERROR_DATA = validator({"$ref": "#/components/schemas/error_data"})


def errors_of(method):
    return [one["$ref"].rsplit("/", 1)[1] for one in METHODS[method]["errors"]]


def own_errors_of(method):
    """Without those that every method may give."""
    common = {name for names in API["x-common-errors"].values() for name in names}
    return [name for name in errors_of(method) if name not in common]


# --- What the server's source says ---

def source(name):
    return re.sub(r"/\*.*?\*/", "", (TOP / "src" / name).read_text(), flags=re.S)


NEEDS = {"NEED_NOTHING": "nothing", "NEED_SESSION": "session", "NEED_NO_SESSION": "no session"}


def server_methods():
    """name -> (params: {name: required}, needs), as src/gate/ has them."""
    tables, found = {}, {}
    for path in sorted((TOP / "src/gate").glob("*.c")):
        text = source(f"gate/{path.name}")
        for table, body in re.findall(r"\bstruct param (\w+)\[\] = \{(.*?)\n?\s*\};", text, re.S):
            rows = re.findall(r"\{\s*(?:\.name = )?\"(\w+)\"(.*?)\}", body, re.S)
            tables[path.name, table] = {name: "required = true" in rest for name, rest in rows}
    table_of_sync = tables["decode.c", "table"]
    rows = re.findall(r'X\("([\w.]+)",\s*(\w+),\s*(\w+),\s*(NEED_\w+)', source("gate/method.h"))
    for name, _, table, need in rows:
        places = [params for (_, one), params in tables.items() if one == table]
        assert len(places) == 1, f"{name}: there are {len(places)} tables {table}"
        found[name] = (table_of_sync if name == "sync" else places[0], NEEDS[need])
    return found


def server_errors():
    """name -> (code, retry, message), as src/chat/error.h has them."""
    rows = re.findall(r'X\((\w+),\s*(-?\d+),\s*"(\w+)",\s*([01]),[\s\\]*"([^"]*)"\)', source("chat/error.h"))
    return {name: (int(code), retry == "1", message) for _, code, name, retry, message in rows}


def server_notifications():
    """The names that src/gate/ opens notifications with."""
    return {name for path in (TOP / "src/gate").glob("*.c") if not path.stem.endswith("_test")
            for name in re.findall(r'open_notification\(\w+, "(\w+)"\)', path.read_text())}
