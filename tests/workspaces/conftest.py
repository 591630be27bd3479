"""What the tests of workspaces share: an organisation's people, a workspace, requests, and what was told."""

import json

import pytest
import redis

from accounts import services as accounts
from accounts.models import User
from accounts.recent import recent_callers
from workspaces.models import WorkspaceMember
from workspaces.services import ensure_workspace


@pytest.fixture
def people(transactional_db, settings):
    """chief administers the organisation; ann administers the workspace ws_a, bob is a member; carl only of the organisation."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()
    organization = accounts.ensure_organization(public_id="org_w", name="Writers")
    made = {
        name: accounts.ensure_user(
            username=name,
            password="x",
            public_id=f"user_{name}",
            is_staff=name == "staff",
            organization=None if name in ("staff", "other") else organization,
            role="admin" if name == "chief" else "member",
        )
        for name in ("chief", "ann", "bob", "carl", "staff", "other")
    }
    workspace = ensure_workspace(public_id="ws_a", organization_pk=organization.pk, name="Drafts")
    WorkspaceMember.objects.create(workspace=workspace, user=made["ann"], role="admin")
    WorkspaceMember.objects.create(workspace=workspace, user=made["bob"])
    return made


@pytest.fixture
def told(people, redis_url):
    """What a stream holds, as (type, data) pairs: a function of its name."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

        def read(stream="workspace:ws_a"):
            found = []
            for key in client.scan_iter(match=f"*{stream}*", _type="stream"):
                for _, fields in client.xrange(key):
                    events = [json.loads(value) for value in fields.values() if value.startswith(b"{")]
                    found.extend((each["type"], each["data"]) for each in events)
            return found

        yield read


@pytest.fixture
def call(client, people):
    """A request by one of the people: the status and the parsed answer."""

    def request(method, address, body=None, *, by="ann"):
        token = accounts.access_token_for(user=User.objects.get(username=by))
        headers = {"Authorization": f"Bearer {token}"}
        data = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        response = getattr(client, method)(address, headers=headers, **data)
        return response.status_code, response.json() if response.content else None

    return request
