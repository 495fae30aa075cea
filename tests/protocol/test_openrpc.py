"""docs/openrpc.json is an OpenRPC document, and says what the server has."""

import copy
import json
import pathlib

import jsonschema
import pytest
from api import API, ERRORS, METHODS, NOTIFICATIONS, errors_of, server_errors, server_methods, server_notifications
from lib.client import Client

META = json.loads((pathlib.Path(__file__).parent / "openrpc.schema.json").read_text())


def problems_of(document):
    # The schema of schemas is in the library: nothing is fetched.
    store = {"http://json-schema.org/draft-07/schema": jsonschema.Draft7Validator.META_SCHEMA}
    resolver = jsonschema.RefResolver("", META, store=store)
    return [f"{list(one.absolute_path)}: {one.message:.300}"
            for one in jsonschema.Draft7Validator(META, resolver=resolver).iter_errors(document)]


def test_is_openrpc():
    jsonschema.Draft7Validator.check_schema(META)
    problems = problems_of(API)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("spoil", [
    lambda api: api.pop("methods"),
    lambda api: api.update(openrpc="2.0.0"),
    lambda api: api.update(webhooks=[]),
    lambda api: api["methods"][0].pop("result"),
    lambda api: api["methods"][0].update(notes="none"),
    lambda api: api["methods"][0]["params"][0].pop("name"),
    lambda api: api["methods"][0]["params"][0]["schema"].update(type="text"),
    lambda api: api["methods"][0]["errors"].append({"$ref": "internal"}),
    lambda api: api["components"]["errors"]["internal"].pop("code"),
    lambda api: api["components"]["schemas"]["entry"].update(required="cid"),
])
def test_what_is_not_openrpc_is_refused(spoil):
    spoiled = copy.deepcopy(API)
    spoil(spoiled)
    assert problems_of(spoiled)


def references(value):
    if isinstance(value, dict):
        for name, one in value.items():
            if name == "$ref" and isinstance(one, str):
                yield one
            else:
                yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def test_references_lead_somewhere():
    used = set(references(API))
    for one in used:
        place = API
        for step in one.removeprefix("#/").split("/"):
            assert step in place, f"{one} leads nowhere"
            place = place[step]
    for name in API["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in used or name == "error_data", f"nothing uses {name}"


def test_names_are_unique():
    for names in ([one["name"] for one in API["methods"]], [one["name"] for one in API["x-notifications"]],
                  *[[param["name"] for param in one["params"]] for one in API["methods"]]):
        assert len(set(names)) == len(names), names


def test_required_params_come_first():
    for method in API["methods"]:
        required = [param["required"] for param in method["params"]]
        assert required == sorted(required, reverse=True), method["name"]


def test_methods_are_those_of_the_server():
    server = server_methods()
    assert len(server) >= 19
    assert sorted(METHODS) == sorted(server)


@pytest.mark.parametrize("name", METHODS)
def test_params_are_those_of_the_server(name):
    params, needs = server_methods()[name]
    assert {param["name"]: param["required"] for param in METHODS[name]["params"]} == params
    assert METHODS[name]["x-needs"] == needs


def test_errors_are_those_of_the_server():
    assert {name: (one["code"], one["data"].get("retry", False), one["message"]) for name, one in ERRORS.items()} \
        == server_errors()
    assert all(one["data"]["name"] == name for name, one in ERRORS.items())
    assert list(API["x-error-when"]) == list(ERRORS)
    assert API["components"]["schemas"]["error_data"]["properties"]["name"]["enum"] == list(ERRORS)


@pytest.mark.parametrize("name", METHODS)
def test_common_errors_are_listed(name):
    common, listed, needs = API["x-common-errors"], errors_of(name), METHODS[name]["x-needs"]
    assert set(common["any"]) <= set(listed)
    for which, due in (("session", needs == "session"), ("store", "unavailable" in listed)):
        assert (set(common[which]) <= set(listed)) if due else not set(common[which]) & set(listed), which


def test_notifications_are_those_of_the_server():
    assert set(NOTIFICATIONS) == server_notifications()


def test_the_server_knows_each_method(server):
    """Asked before the login: it has them, whatever it then says."""
    client = Client(server.port, "tcp", check=False)
    for name, method in METHODS.items():
        frame = client.frame(client.post(name))
        got = frame["error"]["data"]["name"] if "error" in frame else None
        if method["x-needs"] == "session":
            assert got == "not_logged_in", name
        else:
            assert got == ("invalid_params" if any(one["required"] for one in method["params"]) else None), name
    assert client.fails("unknown_method", "no.such.method")
    client.close()
