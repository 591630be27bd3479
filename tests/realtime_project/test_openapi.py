"""The OpenAPI document has every address of the URL table, is valid, and is the committed one."""

import io
from contextlib import redirect_stderr
from pathlib import Path

import jsonschema
import pytest
import yaml
from django.urls import URLResolver, get_resolver
from drf_spectacular.validation import validate_schema
from rest_framework.schemas.generators import EndpointEnumerator

from realtime_project.schema import openapi
from realtime_project.schema.operations import TAGS

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
METHODS = ("get", "post", "put", "patch", "delete")

PAGES = {
    "",
    "login",
    "logout",
    "ops",
    "sources",
    "explorer",
    "workspaces",
    "workspaces/{workspace_id}",
    "notifications",
    "notifications/settings",
    "notifications/unsubscribe/{token}",
    "notifications/push-worker.js",
    "plugins",
    "oauth/callback",
    "approvals",
    "approvals/{token}",
    "documents",
    "documents/changes/{job_id}/{change_id}/{side}",
    "documents/versions/{version_id}",
    "rooms",
    "rooms/{room_id}",
}
"""What browsers show to people: HTML, and no part of the interface for programs."""


@pytest.fixture(scope="module")
def told():
    """The document, and what was complained about while it was written."""
    complaints = io.StringIO()
    with redirect_stderr(complaints):
        document = openapi.document()
    return document, complaints.getvalue()


@pytest.fixture(scope="module")
def document(told):
    return told[0]


def routes(patterns=None, prefix=""):
    """(path, view) of every address but the admin's."""
    for each in patterns if patterns is not None else get_resolver().url_patterns:
        route = prefix + str(each.pattern)
        if not isinstance(each, URLResolver):
            yield EndpointEnumerator().get_path_from_regex(route), each.callback
        elif each.namespace != "admin":
            yield from routes(each.url_patterns, route)


def methods_of(view):
    """The methods of an address of the interface, in lower case; None for a page."""
    if hasattr(view, "stream_methods"):
        return {name.lower() for name in view.stream_methods} - {"head"}
    if hasattr(view, "cls"):
        return {name for name in METHODS if hasattr(view.cls, name)}
    return None


def test_every_address_with_each_of_its_methods_is_in_the_document_and_no_other(document):
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    routed = {(path, method) for path, view in routes() for method in methods_of(view) or ()}
    assert described == routed


def test_what_is_not_in_the_document_is_a_page():
    assert {path.removeprefix("/") for path, view in routes() if methods_of(view) is None} == PAGES


def test_it_is_valid_openapi_and_written_without_a_complaint(told):
    document, complaints = told
    assert document["openapi"].startswith("3.1")
    validate_schema(document)
    assert complaints == ""


def test_the_schemas_in_it_are_valid_json_schema(document):
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere(document):
    def references(value):
        if isinstance(value, dict):
            yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            for each in value.values():
                yield from references(each)
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    for reference in references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_has_a_summary_a_heading_of_the_reference_and_a_success(document):
    headings = (REFERENCE / "http.md").read_text().split("\n")
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["tags"][0] in {tag for _, tag in TAGS}, name
        assert any(status.startswith("2") for status in operation["responses"]), name
    for _, tag in TAGS:
        assert f"## {tag}" in headings, tag


def test_bodies_and_answers_have_shapes(document):
    """No body is described as "some object": it would hide that nobody has said what it is."""
    for name, operation in operations(document):
        assert operation["requestBody"]["content"] if "requestBody" in operation else True, name
        for status, answer in operation["responses"].items():
            if "content" in answer:
                assert all(each["schema"] for each in answer["content"].values()), (name, status)
            else:
                assert "$ref" in answer or status in ("202", "204"), (name, status)


def test_errors_have_one_shape_and_say_when_to_come_back(document):
    for response in document["components"]["responses"].values():
        [(media_type, content)] = response["content"].items()
        assert media_type == "application/json"
        assert "$ref" in str(content["schema"])
    assert "Retry-After" in document["components"]["responses"]["Unavailable"]["headers"]
    assert "Retry-After" in document["components"]["responses"]["StreamTooMany"]["headers"]


def test_who_asks_is_described_for_all_and_only_some_addresses_need_nobody(document):
    assert [name for each in document["security"] for name in each] == ["bearer", "session", "ticket", "token", "api_key"]
    open_to_all = {name for name, operation in operations(document) if operation.get("security") == [{}]}
    assert open_to_all == {
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /api/schema",
        "GET /api/schema/events",
        "POST /api/v1/auth/token",
        "POST /api/v1/auth/token/refresh",
        "POST /hooks/{inlet_id}",
    }


def test_streams_are_described_as_event_streams(document):
    streams = {
        name
        for name, operation in operations(document)
        for answer in operation["responses"].values()
        if "text/event-stream" in answer.get("content", {})
    }
    assert streams == {
        "GET /api/events",
        "GET /api/messages/{message_id}/events",
        "GET /api/topics",
        "GET /api/v1/chat/stream/{message_id}",
        "GET /v1/chat/{session_id}/stream",
        "POST /api/v1/chat/stream",
        "POST /stream",
    }


def test_the_committed_document_is_what_the_code_says(document):
    assert (REFERENCE / "openapi.yaml").read_text() == openapi.as_yaml(document), "run: manage.py write_reference"


def test_everyone_can_read_it(client):
    assert client.get("/api/schema").json()["info"]["title"] == "Throughline"
    answer = client.get("/api/schema?format=yaml")
    assert answer.headers["Content-Type"] == "application/yaml"
    assert yaml.safe_load(answer.content)["openapi"] == "3.1.0"
    assert client.get("/api/schema", headers={"accept": "application/yaml"}).content == answer.content
    assert client.get("/api/schema?format=xml").json()["code"] == "not_found"
    assert client.get("/api/schema", headers={"accept": "text/html"}).status_code == 406
