"""Mails to those who may decide."""

import re
import uuid

import pytest
from django.core import mail

from accounts.models import User
from chat.approvals import mails, requesting, waiting
from chat.approvals.deciding import Decision, decide
from chat.approvals.links import opened as link_opened
from chat.approvals.requesting import Item
from chat.checks import check_settings
from chat.models import Approval
from tests.chat.approvals.conftest import PAY, opened

pytestmark = pytest.mark.usefixtures("application")


@pytest.fixture
def mailing(settings):
    settings.APPROVAL_MAIL = True
    settings.PUBLIC_URL = "https://ai.example.org"


def give_addresses(*callers):
    for caller in callers:
        User.objects.filter(pk=caller.pk).update(email=f"{caller.username}@example.org")


def deferred(monkeypatch, module, name):
    found = []
    monkeypatch.setattr(module, name, lambda *arguments: found.append(arguments))
    return found


def test_each_who_may_decide_gets_links_of_his_own_and_never_what_would_be_done(alice, bob, mailing, monkeypatch):
    give_addresses(alice, bob)
    wanted = deferred(monkeypatch, mails, "defer_approval_mail")
    _, approvals = opened(alice, Item("a", "pay\nBcc: x@example.org", PAY), Item("b", "look", PAY), also=[bob])
    mails.defer_mails(approvals[0].batch_id)
    assert wanted == [(approvals[0].batch_id, alice.pk), (approvals[0].batch_id, bob.pk)]
    for arguments in wanted:
        assert mails.send(*arguments)
    assert [message.to for message in mail.outbox] == [["alice@example.org"], ["bob@example.org"]]
    message = mail.outbox[1]
    assert message.subject == "May pay Bcc: x@example.org be called? (and 1 more)"
    assert message.from_email == "throughline@localhost"
    assert "amount" not in message.body
    links = re.findall(r"https://ai\.example\.org/approvals/(\S+)", message.body)
    assert [(link_opened(token).approval_id, link_opened(token).caller.username) for token in links] == [
        (approvals[0].pk, "bob"),
        (approvals[1].pk, "bob"),
    ]


def test_nothing_is_sent_when_it_is_decided_or_the_user_may_not(alice, dave, mailing):
    give_addresses(alice, dave)
    _, (approval,) = opened(alice)
    assert not mails.send(approval.batch_id, dave.pk)
    assert not mails.send(uuid.uuid4(), alice.pk)
    decide(caller=alice, approval_id=approval.pk, decision=Decision(approved=True))
    assert not mails.send(approval.batch_id, alice.pk)
    assert mail.outbox == []


def test_mails_are_asked_for_with_the_request_and_with_each_reminder_only_where_they_are_on(
    alice, mailing, settings, monkeypatch
):
    first = deferred(monkeypatch, requesting, "defer_approval_mails")
    later = deferred(monkeypatch, waiting, "defer_approval_mails")
    _, (approval,) = opened(alice)
    assert first == [(approval.batch_id,)]
    Approval.objects.update(reminds_at=approval.created_at)
    waiting.remind_due()
    assert later == [(approval.batch_id,)]
    settings.APPROVAL_MAIL = False
    opened(alice)
    assert len(first) == 1


def test_settings_with_which_nobody_could_be_asked_are_told_at_the_start(settings):
    assert check_settings() == []
    settings.APPROVAL_DECIDERS = ["everybody"]
    settings.APPROVAL_MAIL = True
    assert [problem.id for problem in check_settings()] == ["chat.E001", "chat.E003"]
    settings.APPROVAL_DECIDERS = []
    settings.PUBLIC_URL = "https://ai.example.org"
    assert [problem.id for problem in check_settings()] == ["chat.E002"]
