"""Many who decide at once, over two web processes; and one who decides from a mail."""

import asyncio
import re
from collections import Counter

import httpx

from tests.live.approvals.conftest import call, over, waiting
from tests.live.approvals.counting import CountingServer
from tests.live.approvals.smtp import MailServer
from tests.live.conftest import Client
from tests.live.processes import Stack, eventually


def let_in(stack: Stack, name: str, conversation_id: str) -> None:
    """Makes a user take part in a conversation, as the one does who began it."""
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'chat_participant'"
    same = ", ".join(f'"{column}"' for (column,) in stack.query(columns) if column not in ("id", "user_id"))
    stack.query(
        f"INSERT INTO chat_participant (user_id, {same}) SELECT (SELECT id FROM accounts_user WHERE username = %s), {same} "
        "FROM chat_participant WHERE conversation_id = %s LIMIT 1",
        name,
        conversation_id,
    )


async def test_of_fifty_requests_at_once_one_decides_and_the_others_learn_who(
    stack: Stack, alice: Client, bob: Client, counting: CountingServer
):
    message_id, (approval,) = await waiting(alice, call(counting.url("fifty")))
    let_in(stack, "bob", approval["conversation_id"])
    address = f"/api/v1/approvals/{approval['id']}/decision"

    async def decide(number: int) -> httpx.Response:
        # Alice approves, bob denies.
        client = (alice, bob)[number % 2]
        return await client.request("POST", address, json={"approved": number % 2 == 0}, at=number // 2 % 2)

    answers = await asyncio.gather(*(decide(number) for number in range(50)))
    (row,) = stack.query(
        "SELECT status, username FROM chat_approval a JOIN accounts_user u ON u.id = decided_by_id WHERE a.id = %s",
        approval["id"],
    )
    status, winner = row
    assert (status, winner) in (("approved", "alice"), ("denied", "bob"))
    assert Counter(answer.status_code for answer in answers) == {200: 25, 409: 25}
    assert {answer.json()["decided_by"]["username"] for answer in answers if answer.status_code == 200} == {winner}
    assert all(f"{status} by {winner}" in answer.json()["detail"] for answer in answers if answer.status_code == 409)
    tail = await over(alice, message_id)
    assert (tail["status"], counting.counts["fifty"]) == ("completed", int(status == "approved"))
    assert [kind for _, kind, _ in stack.journal(message_id)].count("approval.decided") == 1


async def test_a_mail_brings_a_link_that_decides_once(stack: Stack, alice: Client, counting: CountingServer, mail: MailServer):
    # The mail server is busy at first.
    mail.refusals = 1
    message_id, _ = await waiting(alice, call(counting.url("mail")))
    (sent,) = await eventually(lambda: mail.messages, within=40, what="the mail")
    assert (sent["To"], sent["From"]) == ("alice@example.org", "approvals@example.org")
    assert sent["Subject"] == "May http_request be called?"
    text = sent.get_content()
    assert counting.url("mail") not in text
    (path,) = re.findall(r"https://ai\.example\.org(/approvals/\S+)", text)
    async with httpx.AsyncClient(base_url=stack.addresses[1]) as anybody:
        page = await anybody.get(path)
        assert page.status_code == 200
        assert counting.url("mail") in page.text
        assert (await alice.tail(message_id))["status"] == "awaiting_approval"
        done = await anybody.post(path, data={"decision": "approve"})
        assert (done.status_code, "approved by alice" in " ".join(done.text.split())) == (200, True)
        assert (await anybody.post(path, data={"decision": "deny"})).status_code == 409
    assert (await over(alice, message_id))["status"] == "completed"
    assert counting.counts["mail"] == 1
    assert path.rpartition("/")[2] not in stack.logs()
