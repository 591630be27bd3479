"""Plugins and executions in the admin: history is looked at, never changed, and without what runs were given."""

import pytest
from django.contrib.auth import get_user_model

from accounts.models import Organization
from accounts.verification import caller_of_user
from plugins import executions
from plugins.execution_events import Type
from plugins.models import BUILT_IN, Execution, Plugin

LIST = "/admin/plugins/execution/"


@pytest.fixture
def admin(client, people):
    client.force_login(get_user_model().objects.create_superuser(username="root", password="x"))
    return client


@pytest.fixture
def execution(people):
    plugin = Plugin.objects.create(pk=BUILT_IN, name="Built-in tools")
    caller = caller_of_user(people["alice"].pk)
    made = executions.create(
        caller=caller, plugin=plugin, tool_name="calculator", given={"expression": "1+1", "password": "hunter2"}
    )
    executions.append(execution_id=made.pk, reports=[(Type.COMPLETE, {"result": {"sum": 2}})])
    Execution.objects.update(content={"raw": "only for the run"}, idempotency_key="key-7")
    return made


@pytest.mark.parametrize("query", ["calcul", "alice", "id"])
def test_executions_are_found(admin, execution, query):
    page = admin.get(LIST, {"q": str(execution.pk) if query == "id" else query}).content.decode()
    assert "calculator" in page
    assert "calculator" not in admin.get(LIST, {"q": "nothing of the kind"}).content.decode().split("<table")[-1]


def test_one_is_looked_at_and_nothing_else(admin, execution):
    page = admin.get(f"{LIST}{execution.pk}/change/").content.decode()
    assert "1+1" in page
    for hidden in ("hunter2", "only for the run", "key-7"):
        assert hidden not in page
    assert admin.get(f"{LIST}add/").status_code == 403
    assert admin.post(f"{LIST}{execution.pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_plugin_is_added_with_tools_that_are_some(admin):
    organization = Organization.objects.create(public_id="org_one", name="One")
    form = {"organization": organization.pk, "name": "Weather", "tools": '["forecast"]'}
    assert "Tools are a list" in admin.post("/admin/plugins/plugin/add/", form).content.decode()
    assert admin.post("/admin/plugins/plugin/add/", form | {"tools": '[{"name": "forecast"}]'}).status_code == 302
    assert Plugin.objects.get().tools == [{"name": "forecast", "description": ""}]
