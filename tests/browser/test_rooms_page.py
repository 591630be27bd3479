"""The page of rooms in a real browser: two people and an agent in one room, badges, typing, roles, and coming back."""

import psycopg
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Visitor, script
from tests.browser.cuttable import CuttableNetwork

pytestmark = pytest.mark.browser


@pytest.fixture
def agent(own_database: str) -> str:
    """The name of an application of the demo organisation that the scripted engine answers for."""
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO chat_application (public_id, organization_id, name, engine, model, system_prompt, tools, sources) "
            "SELECT 'app_rooms', id, 'Navigator', 'scripted', '', '', '[]', '[]' FROM accounts_organization "
            "WHERE public_id = 'org_demo' ON CONFLICT (public_id) DO NOTHING"
        )
    return "Navigator"


def opened(visitor: Visitor) -> Page:
    page = visitor.page
    page.goto(f"{visitor.address}/rooms")
    expect(page.locator("#room-note")).not_to_have_text("Loading…")
    return page


def create(page: Page, title: str, *names: str, immutable: bool = False) -> None:
    page.get_by_role("button", name="New room").click()
    page.get_by_label("Title").fill(title)
    if immutable:
        page.get_by_label("Always the same participants").check()
    for name in names:
        page.locator("#create-dialog").get_by_label(name, exact=True).check()
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#room-title")).to_have_text(title)


def say(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_label("Your message").press("Enter")


def shown(page: Page) -> list[str]:
    return page.locator(".message .text").all_inner_texts()


def row(page: Page, title: str) -> str:
    return f'a.room:has(.title:text-is("{title}"))'


def test_two_people_talk_and_badges_count_what_is_unread(visit: Visit) -> None:
    alice, bob = opened(visit("alice")), opened(visit("bob"))
    create(alice, "Harbour", "bob")
    expect(alice.locator("#no-messages")).to_be_visible()
    link = bob.locator(row(bob, "Harbour"))
    expect(link).to_be_visible()
    say(alice, "first")
    say(alice, "second")
    expect(alice.locator(".message")).to_have_count(2)
    expect(link.locator(".unread")).to_contain_text("2")
    link.click()
    expect(bob.locator(".message.theirs")).to_have_count(2)
    expect(bob.locator(".author").first).to_have_text("alice")
    expect(link.locator(".unread")).to_have_count(0)
    say(bob, "third")
    expect(alice.locator(".message.theirs .text")).to_have_text("third")
    bob.reload()
    expect(bob.locator(".message")).to_have_count(3)
    assert shown(bob) == shown(alice) == ["first", "second", "third"]
    expect(bob.locator(row(bob, "Harbour")).locator(".unread")).to_have_count(0)


def test_an_agent_answers_and_both_see_it_as_it_is_written(visit: Visit, agent: str) -> None:
    alice, bob = opened(visit("alice")), opened(visit("bob"))
    create(alice, "Voyage", "bob", agent)
    bob.locator(row(bob, "Voyage")).click()
    expect(bob.locator("#room-title")).to_have_text("Voyage")
    say(bob, script({"text": "North by "}, {"pause": 2}, {"text": "north-west."}))
    for page in (alice, bob):
        answer = page.locator(".message.assistant")
        expect(answer.locator(".text")).to_have_text("North by")
        expect(answer).to_have_attribute("aria-busy", "true")
        expect(answer.locator(".author")).to_have_text(agent)
    for page in (alice, bob):
        expect(page.locator(".message.assistant .text")).to_have_text("North by north-west.")
        expect(page.locator(".message.assistant")).to_have_attribute("data-status", "completed")
        expect(page.locator("#stop-answers")).to_be_hidden()


def test_anybody_in_the_room_stops_an_answer_and_can_talk_meanwhile(visit: Visit, agent: str) -> None:
    alice, bob = opened(visit("alice")), opened(visit("bob"))
    create(alice, "Storm", "bob", agent)
    bob.locator(row(bob, "Storm")).click()
    say(alice, script({"text": "Long "}, {"hang": True}))
    expect(bob.locator(".message.assistant .text")).to_have_text("Long")
    bob.get_by_role("button", name="Stop answers").click()
    for page in (alice, bob):
        expect(page.locator(".message.assistant")).to_have_attribute("data-status", "cancelled")


def test_who_types_is_shown_to_the_other(visit: Visit) -> None:
    alice, bob = opened(visit("alice")), opened(visit("bob"))
    create(alice, "Quay", "bob")
    bob.locator(row(bob, "Quay")).click()
    expect(bob.locator("#no-messages")).to_be_visible()
    for letters in "abcdefgh":
        alice.get_by_label("Your message").press_sequentially(letters)
        try:
            expect(bob.locator("#typing-note")).to_have_text("alice is typing…", timeout=3_000)
            break
        except AssertionError:
            continue  # her socket was not there yet
    expect(bob.locator("#typing-note")).to_have_text("alice is typing…")


def test_the_same_immutable_room_is_opened_again(visit: Visit) -> None:
    alice, bob = opened(visit("alice")), opened(visit("bob"))
    create(alice, "Just us", "bob", immutable=True)
    address = alice.url
    bob.locator(row(bob, "Just us")).click()
    bob.get_by_role("button", name="Participants").click()
    expect(bob.get_by_role("button", name="Leave the room")).to_be_hidden()
    bob.get_by_role("button", name="Done").click()
    bob.get_by_role("button", name="New room").click()
    bob.get_by_label("Always the same participants").check()
    bob.locator("#create-dialog").get_by_label("alice", exact=True).check()
    bob.get_by_role("button", name="Create").click()
    expect(bob.locator("#create-dialog")).to_be_hidden()
    assert bob.url == address != f"{alice.url.partition('/rooms')[0]}/rooms"


def test_owners_add_make_readers_and_remove(visit: Visit, expects_console_errors: None) -> None:
    alice, bob = opened(visit("alice")), opened(visit("bob"))
    create(alice, "Deck")
    alice.get_by_role("button", name="Participants").click()
    alice.get_by_label("Add someone").select_option(label="bob")
    alice.get_by_role("button", name="Add", exact=True).click()
    alice.get_by_label("Role of bob").select_option("reader")
    bob.locator(row(bob, "Deck")).click()
    expect(bob.locator("#composer-hint")).to_have_text("You may only read in this room.")
    expect(bob.get_by_label("Your message")).to_be_hidden()
    alice.get_by_label("Role of bob").select_option("member")
    expect(bob.get_by_label("Your message")).to_be_visible()
    alice.get_by_role("button", name="Leave the room").click()
    expect(alice.locator("#people-error")).to_contain_text("last owner")
    alice.get_by_role("button", name="Remove bob").click()
    expect(bob.locator("#log-note")).to_have_text("This room does not exist any more, or you are not in it.")
    expect(bob.locator(row(bob, "Deck"))).to_have_count(0)


def test_after_a_broken_connection_nothing_is_missing_or_twice(
    visit: Visit, network: CuttableNetwork, server: str, expects_console_errors: None
) -> None:
    alice, bob = opened(visit("alice", address=server)), opened(visit("bob", address=network.address))
    create(alice, "Fog", "bob")
    bob.locator(row(bob, "Fog")).click()
    say(alice, "before")
    expect(bob.locator(".message")).to_have_count(1)
    network.cut()
    expect(bob.locator("#connection-words")).to_contain_text("Connection lost")
    for number in range(3):
        say(alice, f"meanwhile {number}")
        expect(alice.locator(".message")).to_have_count(number + 2)
    network.mend()
    expect(bob.locator(".message")).to_have_count(4, timeout=40_000)
    assert shown(bob) == shown(alice) == ["before", "meanwhile 0", "meanwhile 1", "meanwhile 2"]


def test_without_rooms_the_page_says_what_they_are(visit: Visit, guest: str) -> None:
    page = opened(visit(guest))
    expect(page.locator("#room-note")).to_contain_text("You are in no room yet")
    expect(page.locator("#no-room h2")).to_have_text("Talk with people and agents")
    page.get_by_role("button", name="New room").click()
    expect(page.locator("#create-error")).to_contain_text("you are in none")
