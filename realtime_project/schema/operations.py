"""How one method of one address becomes an operation of the OpenAPI document."""

import re
from http import HTTPStatus
from typing import Any

from drf_spectacular.contrib.pydantic import PydanticExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from pydantic.json_schema import model_json_schema

from realtime_project.schema.problems import problem

TAGS = (
    ("/stream", "Answers"),
    ("/api/messages", "Answers"),
    ("/api/v1/rooms", "Rooms"),
    ("/api/v1/chat", "Sessions of the chat socket"),
    ("/api/v1/chat/stream", "RAG chat"),
    ("/api/v1/chat/complete", "RAG chat"),
    ("/api/v1/approvals", "Approvals"),
    ("/v1/", "Jobs"),
    ("/api/v1/sources", "Sources and attachments"),
    ("/api/v1/attachments", "Sources and attachments"),
    ("/api/v1/connections", "Connections"),
    ("/api/v1/plugins", "Plugins"),
    ("/api/events", "User feed"),
    ("/api/v1/events", "User feed"),
    ("/api/topics", "Topics"),
    ("/api/v1/topics", "Topics"),
    ("/hooks", "Topics"),
    ("/api/v1/webhooks", "Webhooks"),
    ("/api/v1/notifications", "Notifications"),
    ("/api/v1/notifications/rules", "Notification rules"),
    ("/api/v1/notifications/preferences", "Notification rules"),
    ("/api/v1/notifications/activity", "Notification rules"),
    ("/api/v1/push", "Notification rules"),
    ("/api/v1/applications", "Applications"),
    ("/api/v1/conversations", "Conversations"),
    ("/api/v1/workspaces", "Workspaces"),
    ("/api/v1/auth", "Accounts"),
    ("/api/v1/organizations", "Accounts"),
    ("", "Operation"),
)
"""The heading of docs/reference/http.md for addresses that begin so; the longest counts."""

UUIDS = {
    "approval_id",
    "batch_id",
    "conversation_id",
    "delivery_id",
    "execution_id",
    "job_id",
    "message_id",
    "notification_id",
    "plugin_id",
    "room_id",
    "rule_id",
    "source_id",
    "webhook_id",
}
"""Ids in addresses that are UUIDs."""

ANONYMOUS: Any = [{}]
"""The security requirement of addresses that ask for no credentials."""


class Operation(AutoSchema):
    """An operation named after its summary, under the heading of the reference, with the errors that every address may tell."""

    def get_operation_id(self) -> str:
        """The summary in snake case."""
        return "_".join(re.findall(r"[a-z0-9]+", (self.get_summary() or super().get_operation_id()).lower()))

    def get_tags(self) -> list[str]:
        """The heading in docs/reference/http.md."""
        return [max((each for each in TAGS if self.path.startswith(each[0])), key=lambda each: len(each[0]))[1]]

    def get_auth(self) -> Any:
        """Nothing where credentials are asked for, as the whole document says which."""
        return [] if self.view.get_authenticators() else ANONYMOUS

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """The name of the class, without what says in which file it is."""
        return str(super().get_serializer_name(serializer, direction)).removesuffix("Told")

    def _resolve_path_parameters(self, variables: Any) -> Any:
        found = super()._resolve_path_parameters(variables)
        for each in found:
            if each["name"] in UUIDS:
                each["schema"]["format"] = "uuid"
        return found

    def _get_request_for_media_type(self, serializer: Any, direction: Any = "request") -> Any:
        # drf-spectacular lets every field of a PATCH be left out; here only those of a serializer made with `partial` may.
        method, self.method = self.method, "POST"
        try:
            return super()._get_request_for_media_type(serializer, direction)
        finally:
            self.method = method

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        """What the view declares, and what goes without saying."""
        declared = super()._get_response_bodies(direction)
        for status in self._usual_errors():
            declared.setdefault(str(status), self._problem(status, ""))
        return dict(sorted(declared.items()))

    def _get_response_for_code(self, serializer: Any, status_code: Any, *args: Any, **options: Any) -> Any:
        """An error where a sentence (or "") is given, and not a shape."""
        if isinstance(serializer, str):
            return self._problem(int(status_code), serializer)
        found = super()._get_response_for_code(serializer, status_code, *args, **options)
        return found | {"description": found["description"] or HTTPStatus(int(status_code)).phrase}

    def _problem(self, status: int, said: str) -> dict[str, Any]:
        shape = getattr(self.view, "error_shape", "detail")
        return problem(status, said=said, error_shape=shape, has_fields=not self._is_stream)

    def _usual_errors(self) -> list[int]:
        """Errors that follow from what the address takes."""
        takes_body = self._get_request_body() is not None
        found = [400]
        found += [401, 403] if self.get_auth() != ANONYMOUS else []
        found += [404] if "{" in self.path else []
        found += [413] if takes_body else []
        found += [415] if takes_body and not self._is_stream else []
        # Whether this process and its parts answer is asked without them.
        return found if self._is_stream and self.get_auth() == ANONYMOUS else [*found, 503]

    @property
    def _is_stream(self) -> bool:
        """Whether the address is served as streams are: without Django REST framework's parsers and serializers."""
        return bool(getattr(self.view, "is_stream", False))


class PydanticRequests(PydanticExtension):
    """Pydantic's models as bodies of requests: drf-spectacular describes what they would write, not what they accept."""

    priority = 1

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:  # noqa: ARG002 - drf-spectacular's signature
        """The schema of the model; those that it refers to become components."""
        schema = model_json_schema(self.target, ref_template="#/components/schemas/{model}", mode="validation")
        for name, nested in schema.pop("$defs", {}).items():
            auto_schema.registry.register_on_missing(
                ResolvedComponent(name=name, type=ResolvedComponent.SCHEMA, object=name, schema=nested)
            )
        return schema
