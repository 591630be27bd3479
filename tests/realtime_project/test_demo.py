"""The demo data: made once, never forced back."""

from django.contrib.auth import authenticate
from django.core.management import call_command

from accounts.models import Membership, User
from chat.models import Application
from chat.services.applications import problems
from realtime_project.demo import ensure_demo
from workspaces.models import Workspace


def test_an_empty_database_gets_them_and_is_told_so(db):
    said = ensure_demo()
    for name in ("org_demo", "ws_demo", "app_demo", "demo (staff), alice and bob"):
        assert name in said
    assert authenticate(username="alice", password="alice").organizations.get().public_id == "org_demo"
    demo = User.objects.get(username="demo")
    assert demo.is_staff
    assert demo.is_superuser
    assert Membership.objects.get(user=demo).role == Membership.Role.ADMIN
    assert Workspace.objects.get(public_id="ws_demo").members.count() == 3
    application = Application.objects.get(public_id="app_demo")
    assert application.organization.public_id == "org_demo"
    assert application.tools == ["calculator", "current_time", "search_sources"]
    fields = {"engine": application.engine, "tools": application.tools, "sources": application.sources}
    assert problems(organization=application.organization, fields=fields) == {}


def test_the_next_start_changes_nothing(db):
    ensure_demo()
    alice = User.objects.get(username="alice")
    alice.set_password("her own")
    alice.save()
    assert ensure_demo() == "demo (staff), alice and bob; each password is the name"
    assert authenticate(username="alice", password="her own")
    assert User.objects.count() == 3


def test_demo_users_that_were_deleted_stay_deleted(db):
    ensure_demo()
    User.objects.create_user("owner", password="x")
    User.objects.filter(username__in=["demo", "alice", "bob"]).delete()
    assert ensure_demo() == ""
    assert list(User.objects.values_list("username", flat=True)) == ["owner"]


def test_a_database_with_users_gets_none(db):
    User.objects.create_user("owner", password="x")
    assert ensure_demo() == ""
    assert User.objects.count() == 1


def test_the_setting_turns_them_off(db, settings, capsys):
    settings.DEMO_DATA = False
    call_command("prepare_database")
    assert capsys.readouterr().out == ""
    assert not User.objects.exists()


def test_models_and_migrations_agree(db):
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
