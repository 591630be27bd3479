"""The AsyncAPI document has every type of event, every socket and every frame of the reference, and is the committed one."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from events.event import EVENT_TYPES
from realtime_project.routing import websocket_urlpatterns
from realtime_project.schema import asyncapi, openapi
from realtime_project.schema.frames import EVERY_SOCKET, SOCKETS, STREAMS

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"

REFERENCE_OBJECT = {
    "type": "object",
    "properties": {"$ref": {"type": "string", "pattern": "^#/"}},
    "required": ["$ref"],
    "additionalProperties": False,
}
NAMED = {"propertyNames": {"pattern": r"^[A-Za-z0-9_\-.]+$"}}
STRUCTURE = {
    "type": "object",
    "required": ["asyncapi", "info"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.1.0"},
        "defaultContentType": {"type": "string"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": {key: {"type": "string"} for key in ("title", "version", "description")},
            "additionalProperties": False,
        },
        "servers": {
            **NAMED,
            "additionalProperties": {
                "type": "object",
                "required": ["host", "protocol"],
                "properties": {
                    **{key: {"type": "string"} for key in ("host", "protocol", "description")},
                    "security": {"type": "array", "items": REFERENCE_OBJECT},
                },
                "additionalProperties": False,
            },
        },
        "channels": {
            **NAMED,
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "address": {"type": ["string", "null"]},
                    "title": {"type": "string"},
                    "servers": {"type": "array", "items": REFERENCE_OBJECT},
                    "messages": {**NAMED, "additionalProperties": REFERENCE_OBJECT},
                    "parameters": {**NAMED, "additionalProperties": {"type": "object"}},
                    "bindings": {"type": "object"},
                },
                "required": ["address", "messages"],
                "additionalProperties": False,
            },
        },
        "operations": {
            **NAMED,
            "additionalProperties": {
                "type": "object",
                "required": ["action", "channel"],
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE_OBJECT,
                    "messages": {"type": "array", "items": REFERENCE_OBJECT, "minItems": 1, "uniqueItems": True},
                },
                "additionalProperties": False,
            },
        },
        "components": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "messages": {
                    **NAMED,
                    "additionalProperties": {
                        "type": "object",
                        "required": ["name", "payload"],
                        "properties": {
                            "name": {"type": "string"},
                            "summary": {"type": "string"},
                            "payload": {"type": "object"},
                            "tags": {"type": "array", "items": {"type": "object", "required": ["name"]}},
                        },
                        "additionalProperties": False,
                    },
                },
                "securitySchemes": {
                    **NAMED,
                    "additionalProperties": {
                        "type": "object",
                        "required": ["type"],
                        "properties": {"type": {"enum": ["http", "httpApiKey"]}},
                    },
                },
            },
        },
    },
}
"""What AsyncAPI 3.1 says of the parts that are used here."""


@pytest.fixture(scope="module")
def document():
    return asyncapi.document()


def resolved(document, reference):
    place = document
    for step in reference.removeprefix("#/").split("/"):
        place = place[step]
    return place


def test_it_has_the_structure_of_asyncapi(document):
    jsonschema.validate(document, STRUCTURE)
    for message in document["components"]["messages"].values():
        jsonschema.Draft202012Validator.check_schema(message["payload"])


def test_every_reference_leads_somewhere_and_operations_name_messages_of_their_channel(document):
    for channel in document["channels"].values():
        for reference in [*channel["messages"].values(), *channel["servers"]]:
            resolved(document, reference["$ref"])
    for operation in document["operations"].values():
        channel = operation["channel"]["$ref"]
        resolved(document, channel)
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")
            name = message["$ref"].removeprefix(f"{channel}/messages/")
            assert name in resolved(document, channel)["messages"]
    for server in document["servers"].values():
        for reference in server["security"]:
            resolved(document, reference["$ref"])


def test_every_registered_type_of_event_is_a_message_of_the_log(document):
    assert set(document["channels"]["log"]["messages"]) == {f"event.{name}" for name in EVENT_TYPES}
    for name, known in EVENT_TYPES.items():
        message = document["components"]["messages"][f"event.{name}"]
        assert message["summary"] == known.meaning
        assert message["payload"]["properties"]["type"] == {"const": name}
        assert ("tags" in message) == known.terminal


def test_every_socket_that_is_routed_has_a_channel_and_no_other(document):
    routes = [each.pattern.regex.pattern for each in websocket_urlpatterns[:-1]]
    addresses = {re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", route).strip("^$").removesuffix("/?") for route in routes}
    sockets = {each["address"] for each in document["channels"].values() if each["servers"] == [{"$ref": "#/servers/sockets"}]}
    assert sockets == {f"/{address}" for address in addresses}


def test_event_streams_have_the_addresses_of_the_openapi_document(document):
    streams = {each["address"] for each in document["channels"].values() if each["servers"] == [{"$ref": "#/servers/streams"}]}
    described = openapi.document()["paths"]
    for address in streams - {None}:
        assert "text/event-stream" in str(described[address]["get"]["responses"]["200"]), address
    posts = {"/stream", "/api/v1/chat/stream"}
    gets = {path for path, item in described.items() if "text/event-stream" in str(item.get("get", {}).get("responses"))}
    assert streams - {None} == gets - posts


def test_parameters_are_those_of_the_address(document):
    for channel in document["channels"].values():
        assert set(channel.get("parameters", {})) == set(re.findall(r"\{(\w+)\}", channel["address"] or ""))


def tables(said):
    """The rows of the tables below a heading, as lists of cells, by the first cell of their head."""
    text = (REFERENCE / said.page).read_text().split(f"\n## {said.heading}\n", 1)[1].split("\n## ", 1)[0]
    head = None
    for line in text.split("\n"):
        if not line.startswith("|"):
            head = None
        elif head is None:
            head = [cell.strip() for cell in line.strip("|").split("|")]
        elif not line.startswith("|---"):
            yield head, [cell.strip() for cell in line.strip("|").split("|")]


def names(cell):
    """`typing`, `typing_stopped` or `chat {content, ...}` in a cell of a table."""
    return {match.split(" ")[0] for match in re.findall(r"`([^`]+)`", cell)}


def explained(said, side):
    found = set()
    for head, cells in tables(said):
        if side == "client" and head[0].startswith(("frame of the client", "client")):
            found |= names(cells[0])
        elif side == "server" and head[0].startswith(("frame of the server", "type", "event")):
            found |= names(cells[0]) | (names(cells[1]) if head[1].startswith("in `streaming`") else set())
        elif side == "server" and head[0] == "client":
            found |= names(cells[1])
    return found


@pytest.mark.parametrize("said", [*SOCKETS, *STREAMS], ids=lambda each: each.heading)
def test_every_frame_of_the_reference_is_described_and_no_other(said):
    shared = {frame.name for frame in EVERY_SOCKET.server} if said.is_socket else set()
    assert {frame.name for frame in said.server} - shared == explained(said, "server") - shared
    # `message` and `typing_stopped` are named in the rows of the frames that they go with.
    assert {frame.name for frame in said.client} - {"message", "typing_stopped"} == explained(said, "client")


def test_what_every_socket_says_is_in_the_reference():
    text = (REFERENCE / "sockets.md").read_text().split("\n## Chat\n", 1)[0]
    for frame in (*EVERY_SOCKET.client, *EVERY_SOCKET.server):
        assert re.search(rf'[`"]{frame.name}[ "`]', text), frame.name


def test_the_committed_document_is_what_the_code_says(document):
    assert (REFERENCE / "asyncapi.yaml").read_text() == openapi.as_yaml(document), "run: manage.py write_reference"


def test_everyone_can_read_it(client):
    answer = client.get("/api/schema/events?format=yaml")
    assert yaml.safe_load(answer.content)["asyncapi"] == "3.1.0"
    assert client.get("/api/schema/events").json()["channels"]["ws_events"]["address"] == "/ws/events"
