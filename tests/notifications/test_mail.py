"""Mails, received by a real server."""

import pytest

from notifications import online
from notifications.models import Delivery, Preference
from tests.notifications.mailbox import Mailbox, free_port, smtp
from tests.notifications.rules import happen, later, organization, outcomes, rule, work


@pytest.fixture(autouse=True)
def acme(people, feed, settings):
    people["alice"].email = "alice@example.org"
    people["alice"].save()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    settings.PUBLIC_URL = "https://ai.example.org"
    settings.DEFAULT_FROM_EMAIL = "Throughline <ai@example.org>"
    return organization(people)


@pytest.fixture
def box(settings):
    with smtp(settings.EMAIL_PORT, Mailbox()) as made:
        yield made


def mail_rule(people, **fields):
    return rule(people["ops"], recipients=["user:user_alice"], channels=["email"], **fields)


def states():
    return [status for _, _, status, _ in outcomes()]


def test_a_mail_has_text_html_and_one_click_unsubscribe(people, box, client):
    made = mail_rule(
        people, body="For {{ payload.who }}", action_url="/orders/{{ event.resourceId }}", title="Order\n{{ payload.number }}"
    )
    happen(7, who="<Ann>")
    work()
    assert box.mails == []
    later(minutes=2)
    work()
    [mail] = box.mails
    assert (mail["Subject"], mail["To"], mail["From"]) == ("Order 7", "alice@example.org", "Throughline <ai@example.org>")
    text, html = mail.get_body("plain").get_content(), mail.get_body("html").get_content()
    assert "For <Ann>" in text
    assert "https://ai.example.org/orders/o7" in text
    assert "For &lt;Ann&gt;" in html
    assert mail["Message-ID"] == f"<delivery.{Delivery.objects.get().pk}@example.org>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = mail["List-Unsubscribe"].strip().strip("<>").removeprefix("https://ai.example.org")
    assert link in text.replace("https://ai.example.org", "")

    # Mail servers follow links: looking changes nothing.
    page = client.get(link)
    assert page.status_code == 200
    assert "would send you no mails" in page.content.decode()
    assert not Preference.objects.exists()
    assert client.post(link, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded").status_code == 200
    [choice] = Preference.objects.all()
    assert (choice.user, choice.rule_id, choice.channel, choice.enabled) == (people["alice"], made.pk, "email", False)
    happen(8)
    work()
    assert states() == ["sent", "skipped"]


def test_a_link_that_is_not_ours_changes_nothing(people, client):
    assert client.post("/notifications/unsubscribe/WzEsIjEiXQ:forged:abc").status_code == 404
    assert not Preference.objects.exists()


def test_a_server_that_is_down_gets_it_later_and_once(people, settings):
    mail_rule(people, always=True)
    happen()
    work()
    row = Delivery.objects.get()
    assert (row.status, row.attempts) == ("held", 1)
    assert "cannot be reached" in row.reason
    with smtp(settings.EMAIL_PORT, Mailbox()) as box:
        work()
        assert box.mails == []
        later(minutes=1)
        work()
        work()
        later(minutes=9)
        work()
    assert len(box.mails) == 1
    assert states() == ["sent"]


@pytest.mark.parametrize(("answer", "status"), [("451 Come back later", "held"), ("554 No such mailbox", "dead")])
def test_what_the_server_says_decides(people, box, answer, status):
    mail_rule(people, always=True)
    box.answers.append(answer)
    happen()
    work()
    row = Delivery.objects.get()
    assert row.status == status
    assert answer[4:] in row.reason


def test_a_digest_is_one_mail(people, box):
    mail_rule(people, digest_seconds=60)
    for number in range(3):
        happen(number)
    work()
    later(seconds=61)
    work()
    [mail] = box.mails
    assert mail["Subject"] == "3 times: Orders"
    assert [line for line in mail.get_body("plain").get_content().splitlines() if line.startswith("- ")] == [
        "- Order 2",
        "- Order 1",
        "- Order 0",
    ]
    assert mail.get_body("html").get_content().count("<li>") == 3


def test_who_has_no_address_gets_none(people, box):
    people["alice"].email = ""
    people["alice"].save()
    mail_rule(people, always=True)
    happen()
    work()
    assert states() == ["skipped"]


def test_who_has_a_connection_when_it_is_to_be_sent_gets_none(people, box, monkeypatch):
    there = {"user_alice"}

    async def connected(broker):
        return frozenset(there)

    monkeypatch.setattr(online, "connected", connected)
    mail_rule(people)
    happen(1)
    work()
    later(minutes=2)
    work()
    there.clear()
    happen(2)
    work()
    later(minutes=2)
    work()
    assert [mail["Subject"] for mail in box.mails] == ["Order 2"]
    assert states() == ["skipped", "sent"]


def test_without_a_public_address_there_is_no_link(people, box, settings):
    settings.PUBLIC_URL = ""
    mail_rule(people, always=True, action_url="/x")
    happen()
    work()
    [mail] = box.mails
    assert mail["List-Unsubscribe"] is None
    assert "/x" not in mail.get_body("plain").get_content()
