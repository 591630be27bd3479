"""Who may call what: one line (or several) for each pattern of the URL table. A pattern without a line fails the tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.security import people
from tests.security.addresses import METHODS

PUBLIC, HOLDER, ANY, MEMBERS, OWNER, STAFF = "public", "holder", "any", "members", "owner", "staff"
"""Everybody; who knows the secret in the address; any user; alice's organisation; alice alone; the staff."""

MAY = {
    PUBLIC: {"nobody", "alice", "bob", "eve", "staff"},
    HOLDER: {"nobody", "alice", "bob", "eve", "staff"},
    ANY: {"alice", "bob", "eve", "staff"},
    MEMBERS: {"alice", "bob"},
    OWNER: {"alice"},
    STAFF: {"staff"},
}
JSON = {"a": "body that is wrong: whoever may call hears so"}


@dataclass(frozen=True)
class Line:
    """Who may, what is made of alice's for it, and what is sent with each method that there is (None: nothing).

    `staff`: the staff may, too. `fails`: statuses with which the owner's own request may end, where it cannot succeed here.
    `query`: what follows the path, filled in like it.
    """

    who: str
    make: Callable[[Any], dict[str, Any]] | None = None
    methods: dict[str, Any] = field(default_factory=lambda: {"GET": None})
    staff: bool = False
    fails: tuple[int, ...] = ()
    query: str = ""

    @property
    def allowed(self) -> set[str]:
        """Names of those who may."""
        return MAY[self.who] | ({"staff"} if self.staff else set())


def line(who: str, make: Callable[[Any], dict[str, Any]] | None = None, /, **options: Any) -> list[Line]:
    """One line; methods are given by name: `GET=None, PATCH={...}`; none: GET."""
    methods = {name: options.pop(name) for name in METHODS if name in options}
    return [Line(who, make, **({"methods": methods} if methods else {}), **options)]


p = people
ENDPOINTS: dict[str, list[Line]] = {
    "healthz": line(PUBLIC),
    "readyz": line(PUBLIC, fails=(503,)),
    # From this machine, and not through a proxy: tests/realtime_project/test_views.py. Here everybody is on this machine.
    "metrics": line(PUBLIC),
    "api/v1/auth/me": line(ANY),
    "api/v1/auth/token": line(PUBLIC, POST=JSON),
    "api/v1/auth/token/refresh": line(PUBLIC, POST=JSON),
    "api/v1/auth/tickets": line(ANY, POST=JSON),
    "api/v1/auth/api-keys": line(ANY, GET=None, POST=JSON),
    "api/v1/auth/api-keys/<str:key_id>": line(OWNER, p.api_key, DELETE=None),
    "api/events": line(ANY),
    "api/v1/events": line(STAFF, POST=JSON),
    # Its signature says who posts: tests/events/webhooks/test_receiving.py.
    "hooks/<str:inlet_id>": line(PUBLIC, lambda who: {"inlet_id": "in_none"}, POST=JSON, fails=(404,)),
    "api/topics": line(ANY, fails=(400,)),
    "api/v1/topics/publish": line(ANY, POST=JSON),
    "api/schema": line(PUBLIC),
    "api/schema/events": line(PUBLIC),
    # Of one's own organisation; who administers none is refused.
    "api/v1/webhooks": line(ANY, GET=None, POST=JSON, fails=(400,)),
    "api/v1/webhooks/<str:webhook_id>": line(
        OWNER, p.webhook, GET=None, PATCH={"description": "changed"}, DELETE=None, staff=True
    ),
    "api/v1/webhooks/<str:webhook_id>/secret": line(OWNER, p.webhook, POST={}, staff=True),
    "api/v1/webhooks/<str:webhook_id>/test": line(OWNER, p.webhook, POST=None, staff=True),
    "api/v1/webhooks/<str:webhook_id>/deliveries": line(OWNER, p.webhook, staff=True),
    "api/v1/webhooks/<str:webhook_id>/deliveries/redeliver": line(OWNER, p.webhook, POST={}, staff=True),
    "api/v1/webhooks/<str:webhook_id>/deliveries/<str:delivery_id>": line(OWNER, p.webhook_delivery, staff=True),
    "api/v1/webhooks/<str:webhook_id>/deliveries/<str:delivery_id>/redeliver": line(
        OWNER, p.webhook_delivery, POST=None, staff=True, fails=(409,)
    ),
    "ws/stats": line(STAFF),
    "api/v1/ops/connections": line(STAFF),
    "api/v1/ops/connections/<str:connection_id>": line(STAFF, p.open_connection, DELETE=None, fails=(404,)),
    "api/v1/users/<str:user_id>/disconnect": line(STAFF, p.user, POST=None),
    "api/v1/ops": line(STAFF),
    "ops": line(STAFF),
    "sources": line(ANY),
    "explorer": line(ANY),
    "login": line(PUBLIC, GET=None, POST=None, PUT=None),
    "logout": line(PUBLIC, POST=None),
    "api/v1/sources": line(ANY, GET=None, POST=JSON),
    "api/v1/sources/<str:source_id>": line(OWNER, p.source, GET=None, DELETE=None),
    "api/v1/sources/<str:source_id>/reingest": line(OWNER, p.source, POST=None, fails=(409,)),
    "api/v1/sources/<str:source_id>/cancel": line(OWNER, p.source, POST=None),
    "api/v1/sources/<str:source_id>/search": line(OWNER, p.source, query="?q=x", fails=(400,)),
    "api/v1/attachments": line(ANY, GET=None, POST=JSON),
    "api/v1/attachments/<str:source_id>": line(OWNER, p.attachment, GET=None, DELETE=None),
    "api/v1/attachments/<str:source_id>/reingest": line(OWNER, p.attachment, POST=None, fails=(409,)),
    "api/v1/attachments/<str:source_id>/cancel": line(OWNER, p.attachment, POST=None),
    "workspaces": line(ANY),
    "workspaces/<str:workspace_id>": line(OWNER, p.workspace),
    "api/v1/organizations/<str:organization_id>/members": line(OWNER, p.organization, POST={"user": "user_staff"}, staff=True),
    "api/v1/workspaces": line(ANY, GET=None, POST=JSON),
    "api/v1/workspaces/<str:workspace_id>": line(
        OWNER, p.workspace, GET=None, PATCH={"name": "changed"}, DELETE=None, staff=True
    ),
    "api/v1/workspaces/<str:workspace_id>/members": line(OWNER, p.workspace, GET=None, POST={"user": "user_bob"}, staff=True),
    "api/v1/workspaces/<str:workspace_id>/members/<str:user_id>": line(
        OWNER, p.workspace_member, PATCH={"role": "admin"}, DELETE=None, staff=True
    ),
    "notifications": line(ANY),
    "api/v1/notifications": line(ANY, GET=None) + line(STAFF, POST=JSON),
    "api/v1/notifications/counts": line(ANY),
    "api/v1/notifications/actions": line(ANY, POST=JSON),
    "api/v1/notifications/rules": line(ANY, GET=None, POST=JSON, fails=(400,)),
    "api/v1/notifications/rules/rehearsal": line(ANY, POST=JSON),
    "api/v1/notifications/rules/<str:rule_id>": line(OWNER, p.rule, GET=None, PATCH={"name": "x"}, DELETE=None, staff=True),
    "api/v1/notifications/preferences": line(ANY, GET=None, PATCH={}),
    "api/v1/notifications/activity": line(ANY, POST={}),
    "api/v1/push/key": line(ANY),
    "api/v1/push/subscriptions": line(ANY, POST=JSON, DELETE=JSON),
    "notifications/settings": line(ANY),
    "notifications/unsubscribe/<str:token>": line(HOLDER, p.unsubscribe_link, GET=None, POST=None),
    "notifications/push-worker.js": line(PUBLIC),
    "api/v1/notifications/<str:notification_id>": line(OWNER, p.notification, GET=None, DELETE=None),
    "api/v1/notifications/<str:notification_id>/<str:action>": line(OWNER, p.notification_action, POST=None),
    "plugins": line(ANY),
    "api/v1/connections": line(ANY, GET=None, POST=JSON),
    "api/v1/connections/<str:connection_id>": line(OWNER, p.mcp_connection, GET=None, DELETE=None),
    "api/v1/plugins": line(ANY, GET=None, POST=JSON),
    "api/v1/plugins/executions": line(ANY),
    "api/v1/plugins/executions/<str:execution_id>": line(MEMBERS, p.execution) + line(OWNER, p.tool_call),
    "api/v1/plugins/executions/<str:execution_id>/events": line(
        MEMBERS, p.execution, GET=None, POST={"events": [{"type": "log", "data": {"message": "x"}}]}
    )
    + line(OWNER, p.tool_call, GET=None),
    "api/v1/plugins/<str:plugin_id>/executions": line(MEMBERS, p.plugin, GET=None, POST={"tool_name": "t", "input": {}}),
    "oauth/callback": line(HOLDER, fails=(404,)),
    "": line(ANY),
    "stream": line(ANY, POST=JSON),
    "approvals": line(ANY),
    "approvals/<str:token>": line(HOLDER, p.approval_link, GET=None, POST=None, fails=(422,)),
    "api/v1/approvals": line(ANY),
    "api/v1/approvals/<str:approval_id>": line(OWNER, p.approval),
    "api/v1/approvals/<str:approval_id>/decision": line(OWNER, p.approval, POST={"approved": True}),
    "api/v1/approvals/batches/<str:batch_id>/decision": line(
        OWNER, p.approval, POST=lambda ids: {"decisions": [{"approval_id": str(ids["approval_id"]), "approved": True}]}
    ),
    "api/messages/<str:message_id>/events": line(OWNER, p.answer),
    "api/messages/<str:message_id>/tail": line(OWNER, p.answer),
    "api/messages/<str:message_id>/stop": line(OWNER, p.answer, POST=None),
    "api/v1/chat/stream": line(ANY, POST=JSON),
    "api/v1/chat/stream/<str:message_id>": line(OWNER, p.answer),
    "api/v1/chat/complete": line(ANY, POST=JSON),
    "api/v1/chat/sessions": line(ANY),
    "api/v1/chat/sessions/<str:name>": line(OWNER, p.session),
    "api/v1/chat/sessions/<str:name>/messages": line(OWNER, p.session),
    # Anybody may call a session of his own by any name, another's id too: see test_anothers_session_is_only_a_name.
    "api/v1/chat/sessions/<str:name>/participants": line(ANY, p.session, POST={"user": "user_carol"}, fails=(404,)),
    "api/v1/chat/sessions/<str:name>/participants/<str:user_id>": line(OWNER, p.session_participant, DELETE=None),
    # Each sees what he said himself with an application of his organisation.
    "api/v1/chat/<str:application_id>/messages": line(MEMBERS, p.application),
    "documents": line(ANY),
    "documents/changes/<str:job_id>/<str:change_id>/<str:side>": line(OWNER, p.change),
    "documents/versions/<str:version_id>": line(OWNER, p.version),
    "v1/chat": line(ANY, POST=JSON),
    "v1/chat/async": line(ANY, POST=JSON),
    "v1/chat/<str:session_id>/stream": line(OWNER, p.job_session, query="?job_id={job_id}"),
    "v1/chat/<str:session_id>/approve": line(
        OWNER, p.job_session, POST=lambda ids: {"job_id": str(ids["job_id"]), "approved": True}, fails=(404, 409)
    ),
    "v1/jobs": line(ANY),
    "v1/jobs/<str:job_id>": line(OWNER, p.job),
    "v1/jobs/<str:job_id>/cancel": line(OWNER, p.job, POST=None),
    "v1/sessions": line(ANY),
    "v1/sessions/<str:session_id>/history": line(OWNER, p.job_session),
    "v1/sessions/<str:session_id>/jobs": line(OWNER, p.job_session),
    "v1/sessions/<str:session_id>/revert": line(OWNER, p.ended_job_session, POST={"turn_index": 0}),
    "v1/sessions/<str:session_id>/document": line(OWNER, p.job_session),
    "v1/sessions/<str:session_id>/versions": line(OWNER, p.job_session),
    "rooms": line(ANY),
    # The same page for every id; what is in the room is asked for over the API.
    "rooms/<str:room_id>": line(ANY, p.room),
    "api/v1/rooms": line(ANY, GET=None, POST=JSON),
    "api/v1/rooms/accounts": line(ANY),
    "api/v1/rooms/<str:room_id>": line(OWNER, p.room, GET=None, PATCH={"title": "changed"}, DELETE=None),
    "api/v1/rooms/<str:room_id>/participants": line(
        OWNER, p.room, GET=None, POST={"account_id": "user_bob", "kind": "user", "role": "member"}
    ),
    "api/v1/rooms/<str:room_id>/participants/<str:account_id>": line(
        OWNER, p.room_participant, PATCH={"role": "reader"}, DELETE=None
    ),
    "api/v1/rooms/<str:room_id>/messages": line(OWNER, p.room, GET=None, POST={"text": "hello"}),
    "api/v1/rooms/<str:room_id>/read": line(OWNER, p.room, POST={}),
    "api/v1/applications": line(ANY),
    "api/v1/conversations": line(ANY),
    "api/v1/conversations/<str:conversation_id>": line(OWNER, p.conversation, GET=None, PATCH={"title": "changed"}, DELETE=None),
    "api/v1/conversations/<str:conversation_id>/messages": line(OWNER, p.conversation),
}

SOCKETS: dict[str, list[Line]] = {
    # Anybody may call a session of his own by any name, another's id too: see test_anothers_session_is_only_a_name.
    r"^ws/chat/(?P<session_id>[^/]+)/?$": line(ANY, p.chat_socket),
    r"^ws/notifications/(?P<user_id>[^/]+)/?$": line(OWNER, p.user),
    r"^ws/workspaces/(?P<workspace_id>[^/]+)/?$": line(OWNER, p.workspace),
    # Who knows the id of an execution may look at it for as long as it has not expired (seed 004).
    r"^api/v1/ws/plugin/debug/(?P<execution_id>[^/]+)/?$": line(HOLDER, p.execution),
    r"^ws/events/?$": line(ANY),
}
