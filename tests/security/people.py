"""Who asks, and what of alice's there is: each function makes a new thing of hers and says what its address is filled with."""

import uuid
from datetime import timedelta
from types import SimpleNamespace

from django.utils import timezone

from accounts import services as accounts
from accounts.caller import Caller
from accounts.models import Membership
from chat.approvals import links
from chat.approvals.payloads import sha256_of
from chat.models import Application, Approval
from chat.services import jobs, questions, rooms, sessions
from chat.services.jobs import NewJob
from chat.services.questions import Question
from chat.services.room_accounts import NewParticipant
from events.webhooks import deliveries as webhook_deliveries
from events.webhooks import endpoints as webhook_endpoints
from knowledge.models import Source
from knowledge.services import sources
from notifications import rules, unsubscribing
from notifications.services import notify
from plugins import executions
from plugins.models import BUILT_IN, Connection, Plugin
from tests.notifications.rules import FIELDS as RULE
from workspaces.models import WorkspaceMember
from workspaces.services import ensure_workspace

SECRET = "alices-secret-7f3a9c"
"""In every text of alice's: who must not see the thing must not see this either."""
HTML = f"<h1>Terms</h1><p>{SECRET} is due.</p>"


def new_name(kind):
    return f"{kind}-{uuid.uuid4().hex[:12]}"


def everybody():
    """alice, admin of org_a; bob and carol, members of it; eve, admin of org_e; staff, of the staff and in no organisation."""
    a, e = (accounts.ensure_organization(public_id=name) for name in ("org_a", "org_e"))
    admin = Membership.Role.ADMIN
    users = {
        "alice": accounts.ensure_user(username="alice", password="x", public_id="user_alice", organization=a, role=admin),
        "bob": accounts.ensure_user(username="bob", password="x", public_id="user_bob", organization=a),
        "carol": accounts.ensure_user(username="carol", password="x", public_id="user_carol", organization=a),
        "eve": accounts.ensure_user(username="eve", password="x", public_id="user_eve", organization=e, role=admin),
        "staff": accounts.ensure_user(username="staff", password="x", public_id="user_staff", is_staff=True),
    }
    Application.objects.create(public_id="app_a", organization=a, name="Of A")
    return SimpleNamespace(org_a=a, org_e=e, **users)


def caller(user):
    organizations = tuple(user.organizations.values_list("public_id", flat=True))
    return Caller(user.pk, user.public_id, user.username, organizations, user.is_staff, "jwt")


def api_key(who):
    return {"key_id": accounts.issue_api_key(user_pk=who.alice.pk, name=SECRET).row.pk}


def user(who):
    return {"user_id": who.alice.public_id}


def organization(who):
    return {"organization_id": who.org_a.public_id}


def open_connection(who):
    return {"connection_id": "there-is-none"}


def _source(who, purpose):
    new, data = sources.new_text(name=SECRET, text=f"{SECRET} is in here", purpose=purpose)
    return {"source_id": sources.create(caller=caller(who.alice), new=new, data=data).pk}


def source(who):
    return _source(who, Source.Purpose.SOURCE)


def attachment(who):
    return _source(who, Source.Purpose.ATTACHMENT)


def workspace(who):
    made = ensure_workspace(public_id=new_name("ws"), organization_pk=who.org_a.pk, name=SECRET)
    WorkspaceMember.objects.create(workspace=made, user=who.alice, role="admin")
    return {"workspace_id": made.public_id}


def workspace_member(who):
    made = workspace(who)
    WorkspaceMember.objects.create(workspace=who.org_a.workspaces.get(public_id=made["workspace_id"]), user=who.carol)
    return made | {"user_id": who.carol.public_id}


def notification(who):
    return {"notification_id": notify(users=[who.alice], title=SECRET)[0].pk}


def notification_action(who):
    return notification(who) | {"action": "read"}


def rule(who):
    fields = RULE | {"name": SECRET, "pattern": "events.org_a.shop.order.placed.*", "recipients": ["user:user_alice"]}
    return {"rule_id": rules.create(caller=caller(who.alice), organization_id="org_a", fields=fields).pk}


def unsubscribe_link(who):
    token = unsubscribing.signing.dumps([who.alice.pk, str(rule(who)["rule_id"])], salt=unsubscribing.SALT)
    return {"token": token}


def mcp_connection(who):
    made = Connection.objects.create(owner=who.alice, name=SECRET, server_url="https://x.test", redirect_uri="https://y.test")
    return {"connection_id": made.pk}


def plugin(who):
    return {"plugin_id": Plugin.objects.create(organization=who.org_a, name=new_name("plugin")).pk}


def execution(who):
    """Of a plugin of the organisation: its members may see it."""
    made = Plugin.objects.get(pk=plugin(who)["plugin_id"])
    return {"execution_id": executions.create(caller=caller(who.alice), plugin=made, tool_name="t", given={}).pk}


def tool_call(who):
    """Of the server's own tools, in an answer for alice: hers alone."""
    Plugin.objects.get_or_create(pk=BUILT_IN, defaults={"name": "Built in"})
    given = {"owner_pk": who.alice.pk, "user_id": who.alice.public_id, "plugin": Plugin.objects.get(pk=BUILT_IN)}
    return {"execution_id": executions.begin(**given, tool_name="t", given={"q": SECRET}).pk}


def answer(who):
    return {"message_id": questions.ask(caller=caller(who.alice), question=Question(SECRET, application_id="app_a")).pk}


def conversation(who):
    asked = questions.ask(caller=caller(who.alice), question=Question(SECRET))
    asked.run.status = "completed"  # one that runs cannot be deleted
    asked.run.save()
    return {"conversation_id": asked.conversation_id}


def application(who):
    answer(who)
    return {"application_id": "app_a"}


def session(who):
    found = sessions.resolve(caller=caller(who.alice), name=new_name("session"))
    questions.ask(caller=caller(who.alice), question=Question(SECRET, session=found))
    return {"name": found.pk}


def session_participant(who):
    made = session(who)
    sessions.add_participant(caller=caller(who.alice), name=str(made["name"]), user_id=who.carol.public_id)
    return made | {"user_id": who.carol.public_id}


def _job(who):
    name = new_name("session")
    asked = NewJob(f"replace {SECRET}", session=name, document_html=HTML, title=SECRET)
    return jobs.begin(caller=caller(who.alice), asked=asked)


def job(who):
    return {"job_id": _job(who).pk}


def job_session(who):
    made = _job(who)
    return {"session_id": made.session_id, "job_id": made.pk}


def ended_job_session(who):
    made = _job(who)
    made.run.status = "completed"
    made.run.save()
    return {"session_id": made.session_id, "job_id": made.pk}


def version(who):
    return {"version_id": _job(who).version_id}


def change(who):
    row = _approval(_job(who).pk, who, Approval.Kind.PROPOSED_CHANGE, {"old_html": f"<p>{SECRET}</p>", "new_html": "<p>x</p>"})
    return {"job_id": row.run_id, "change_id": row.subject, "side": "old"}


def _approval(run_id, who, kind, payload):
    return Approval.objects.create(
        run_id=run_id,
        batch_id=uuid.uuid4(),
        batch_total=1,
        position=0,
        kind=kind,
        subject="c1",
        title=SECRET,
        payload=payload,
        payload_sha256=sha256_of(payload),
        deciders=["participants"],
        requested_by=who.alice,
        expires_at=timezone.now() + timedelta(hours=1),
    )


def approval(who):
    row = _approval(answer(who)["message_id"], who, Approval.Kind.TOOL_CALL, {"to": SECRET})
    row.run.status = "awaiting_approval"
    row.run.save()
    return {"approval_id": row.pk, "batch_id": row.batch_id}


def approval_link(who):
    made = approval(who)
    return {"token": links.path(approval_id=made["approval_id"], user_pk=who.alice.pk).rpartition("/")[2]}


def _webhook(who):
    fields = {"url": "https://example.org/hook", "patterns": ["events.org_a.*.*.*.*"], "description": SECRET}
    return webhook_endpoints.create(caller=caller(who.alice), organization_id="org_a", fields=fields)[0]


def webhook(who):
    return {"webhook_id": _webhook(who).pk}


def webhook_delivery(who):
    made = _webhook(who)
    return {"webhook_id": made.pk, "delivery_id": webhook_deliveries.test(caller=caller(who.alice), endpoint_id=made.pk).pk}


def room(who):
    carol = NewParticipant(who.carol.public_id)
    made, _ = rooms.create(caller=caller(who.alice), type="standard", participants=[carol], title=SECRET)
    return {"room_id": made.pk}


def room_participant(who):
    return room(who) | {"account_id": who.carol.public_id}


def chat_socket(who):
    return {"session_id": session(who)["name"]}
