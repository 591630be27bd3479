"""Every address of the OpenAPI document, asked with what fits it and with what does not, by staff and by a stranger.

Whatever is sent: never a 5xx, a status and a content type that the document names, and a body of the shape that it gives.
Deterministic; `FUZZ_EXAMPLES=500` asks longer.
"""

import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.fuzzing.conftest import EXAMPLES, SECONDS, Server
from tests.fuzzing.nasty import BODIES, SEGMENTS, TEXTS, spoiled

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.yaml"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
GOES_WRONG_BY_ITSELF = {"POST /api/v1/chat/complete", "POST /v1/chat", "GET /readyz"}
"""Where a 5xx may be the true answer: it tells how an answer failed, or that a part is away. It is documented."""
DESTROYS = {"DELETE", "PATCH"}
"""Methods that are not used on what is there, so that it stays."""


def _operations() -> dict[str, Any]:
    schema = schemathesis.openapi.from_dict(yaml.safe_load(DOCUMENT.read_text()))
    # Credentials are ours: made-up ones are refused before anything else is looked at.
    schema.config.generation.update(with_security_parameters=False)
    return {each.ok().label: each.ok() for each in schema.get_all_operations()}


def _can_be_wrong(operation: Any) -> bool:
    """Whether it takes a body, and not every body: what is posted to a hook can be anything."""
    content = operation.definition.raw.get("requestBody", {}).get("content", {})
    return any(each["schema"] for each in content.values())


OPERATIONS = _operations()
FUZZ = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    # Not shrunk: each step of it asks the server, and what is found is small already.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def send(case: Any, server: Server, who: str | None, **instead: Any) -> requests.Response:
    """The answer; of an event stream its beginning: it may go on for ever."""
    asked = case.as_transport_kwargs(base_url=server.address) | instead
    headers = dict(asked.pop("headers", None) or {})
    if who is not None:
        headers["Authorization"] = f"Bearer {server.tokens[who]}"
    answer = requests.request(**asked, headers=headers, stream=True, timeout=SECONDS, allow_redirects=False)
    with answer:
        if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            answer._content = next(answer.iter_content(None), b"")
        else:
            answer.content  # noqa: B018 - it is read here, before the connection is closed
    return answer


def check(case: Any, answer: requests.Response) -> None:
    label = case.operation.label
    checks = [each for each in CHECKS if each is not not_a_server_error or label not in GOES_WRONG_BY_ITSELF]
    case.validate_response(answer, checks=checks)


def with_known_ids(case: Any, server: Server) -> None:
    for name in case.path_parameters:
        if name in server.known:
            case.path_parameters[name] = server.known[name]


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_fits_is_answered_as_documented(label, server):
    _ask(OPERATIONS[label], GenerationMode.POSITIVE, server)


@pytest.mark.parametrize("label", [label for label, each in OPERATIONS.items() if _can_be_wrong(each)])
def test_a_body_that_does_not_fit_is_answered_as_documented(label, server):
    # What is wrong in an address is tried below: made up by the library it costs seconds.
    _ask(OPERATIONS[label], GenerationMode.NEGATIVE, server)


def _ask(operation: Any, mode: GenerationMode, server: Server) -> None:
    @FUZZ
    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    def ask(case, known):
        if known and case.method not in DESTROYS:
            with_known_ids(case, server)
        check(case, send(case, server, "demo"))

    ask()


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_parameter_can_be_one_that_no_store_can_hold(label, server):
    """NUL, which Postgres refuses, and numbers that fit into no column: in each parameter of the address by itself."""
    operation = OPERATIONS[label]
    case = operation.Case(path_parameters={each.name: str(uuid.UUID(int=0)) for each in operation.path_parameters})
    with_known_ids(case, server)
    for kind in ("path", "query"):
        for each in operation.path_parameters if kind == "path" else operation.query:
            for nasty in ("\x00", "9" * 400):
                check(case, send(case, server, "demo", **_address(case, server, kind, each.name, quote(nasty))))


@pytest.mark.parametrize("label", OPERATIONS)
def test_one_nasty_value_in_a_request_that_fits_is_answered_as_documented(label, server):
    operation = OPERATIONS[label]

    @FUZZ
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE), data=st.data())
    def ask(case, data):
        with_known_ids(case, server)
        check(case, send(case, server, "demo", **_spoiled_request(case, server, data)))

    ask()


def _spoiled_request(case: Any, server: Server, data: st.DataObject) -> dict[str, Any]:
    """What is sent instead: another path, query or body."""
    kinds = [
        *(["path"] if case.path_parameters else []),
        *(["query"] if case.operation.query else []),
        *(["body", "json"] if case.operation.body else []),
    ]
    if not kinds:
        return {}
    kind = data.draw(st.sampled_from(kinds))
    if kind == "path":
        name = data.draw(st.sampled_from(sorted(case.path_parameters)))
        return _address(case, server, kind, name, data.draw(st.sampled_from(SEGMENTS)))
    if kind == "query":
        name = data.draw(st.sampled_from(sorted(each.name for each in case.operation.query)))
        return _address(case, server, kind, name, quote(data.draw(st.sampled_from(TEXTS))))
    whole = {"headers": {"Content-Type": "application/json"}, "json": None, "files": None}
    if kind == "body":
        return whole | {"data": data.draw(st.sampled_from(BODIES))}
    shown = [each["value"] for each in _examples(case.operation)]
    body = data.draw(st.sampled_from([case.body if isinstance(case.body, dict | list) else {}, *shown]))
    return whole | {"data": json.dumps(data.draw(spoiled(body)), default=str).encode()}


def _address(case: Any, server: Server, kind: str, name: str, quoted: str) -> dict[str, Any]:
    """Another value of a parameter, as it is to be sent."""
    if kind == "query":
        others = {key: value for key, value in (case.query or {}).items() if key != name}
        return {"url": f"{server.address}{case.formatted_path}?{name}={quoted}", "params": others}
    values = {key: quote(str(value), safe="") for key, value in case.path_parameters.items()}
    return {"url": server.address + case.path.format(**values | {name: quoted})}


def _examples(operation: Any) -> list[dict[str, Any]]:
    content = operation.definition.raw.get("requestBody", {}).get("content", {})
    return list(content.get("application/json", {}).get("examples", {}).values())


@pytest.mark.parametrize("label", OPERATIONS)
def test_a_stranger_is_asked_who_he_is_and_told_nothing(label, server):
    operation = OPERATIONS[label]
    open_to_all = operation.definition.raw.get("security") == [{}]

    @FUZZ
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def ask(case):
        with_known_ids(case, server)
        answer = send(case, server, None)
        check(case, answer)
        assert open_to_all or answer.status_code == 401, answer.text

    ask()
