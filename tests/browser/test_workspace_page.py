"""The pages of workspaces in a real browser: who is here, what happens, telling the others, and coming back."""

import json
import urllib.request
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Visitor
from tests.browser.cuttable import CuttableNetwork

pytestmark = pytest.mark.browser


class Rest:
    """Requests by one of the demo users."""

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._token = ""
        self._token = self("POST", "/api/v1/auth/token", {"username": name, "password": name})["access"]

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        if not self._token:
            del headers["Authorization"]
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(
            urllib.request.Request(f"{self._address}{path}", data, headers, method=method), timeout=20
        ) as answer:
            text = answer.read()
        return json.loads(text) if text else None


@pytest.fixture
def demo(server: str) -> Rest:
    """The admin of the demo organisation."""
    return Rest(server, "demo")


@pytest.fixture
def workspace(demo: Rest) -> str:
    """The id of a workspace of this test alone, with alice and bob."""
    made = demo("POST", "/api/v1/workspaces", {"organization": "org_demo", "name": "Annual report"})["id"]
    for user in ("user_alice", "user_bob"):
        demo("POST", f"/api/v1/workspaces/{made}/members", {"user": user})
    return str(made)


def opened(visitor: Visitor, workspace: str) -> Page:
    page = visitor.page
    page.goto(f"{visitor.address}/workspaces/{workspace}")
    expect(page.locator("#here .person-you")).to_have_count(1)
    return page


def tell(page: Page, which: str, how: str = "") -> None:
    page.get_by_label("Which one").fill(which)
    page.get_by_label("How (optional)").fill(how)
    page.get_by_role("button", name="Tell the others").click()
    expect(page.get_by_label("Which one")).to_have_value("")  # the server has it


def happenings(page: Page) -> list[str]:
    return page.locator(".happening-words").all_inner_texts()


def test_people_come_and_go(visit: Visit, workspace: str) -> None:
    alice = opened(visit("alice"), workspace)
    expect(alice.locator("#here-note")).to_have_text("Only you are here.")
    visitor = visit("bob")
    bob = opened(visitor, workspace)
    for page in (alice, bob):
        expect(page.locator("#here .person-name")).to_have_count(2)
        expect(page.locator("#here-note")).to_have_text("2 people are here.")
    expect(alice.locator("#here .person-name").first).to_have_text("alice")
    second = visitor.new_tab()
    second.goto(bob.url)
    expect(second.locator("#here .person-name")).to_have_count(2)
    second.close()
    bob.goto(f"{visitor.address}/workspaces")
    expect(alice.locator("#here .person-name")).to_have_count(1)


def test_what_one_tells_the_others_see_once_and_it_stays_in_the_list(visit: Visit, workspace: str) -> None:
    alice, bob = opened(visit("alice"), workspace), opened(visit("bob"), workspace)
    expect(bob.locator("#happenings-note")).to_be_hidden()  # the two of them were added
    tell(alice, "report.md", "edited")
    expect(bob.locator(".happening-words").first).to_have_text("alice said: the document “report.md” was edited.")
    expect(alice.locator(".happening-words").first).to_have_text("You said: the document “report.md” was edited.")
    bob.get_by_label("What", exact=True).select_option("application_changed")
    tell(bob, "app_demo")
    expect(alice.locator(".happening-words").first).to_have_text("bob said: the application “app_demo” was changed.")
    for page in (alice, bob):
        assert len(happenings(page)) == 4
    alice.reload()
    expect(alice.locator(".happening")).to_have_count(4)
    assert happenings(alice)[0] == "bob said: the application “app_demo” was changed."


def test_after_a_broken_connection_nothing_is_missing_or_twice(
    visit: Visit, workspace: str, network: CuttableNetwork, server: str, expects_console_errors: None
) -> None:
    alice = opened(visit("alice", address=network.address), workspace)
    bob = opened(visit("bob", address=server), workspace)
    for number in range(3):
        tell(alice, f"before-{number}")
        expect(bob.locator(".happening-words").first).to_contain_text(f"before-{number}")
    network.cut()
    expect(alice.locator("#connection-words")).to_contain_text("Connection lost")
    expect(alice.get_by_role("button", name="Tell the others")).to_be_disabled()
    for number in range(3):
        tell(bob, f"meanwhile-{number}")
        expect(bob.locator(".happening-words").first).to_contain_text(f"meanwhile-{number}")
    network.mend()
    expect(alice.locator(".happening-words").first).to_contain_text("meanwhile-2", timeout=40_000)
    told = [words for words in happenings(alice) if "said" in words]
    expected = [f"meanwhile-{n}" for n in (2, 1, 0)] + [f"before-{n}" for n in (2, 1, 0)]
    assert [words.split("“")[1].split("”")[0] for words in told] == expected
    expect(alice.locator("#here .person-name")).to_have_count(2)


def test_a_shared_source_and_a_new_member_appear_by_themselves(visit: Visit, workspace: str, demo: Rest) -> None:
    bob = opened(visit("bob"), workspace)
    demo("POST", "/api/v1/sources", {"name": "rivers.md", "text": "The Danube flows.", "organization": "org_demo"})
    expect(bob.locator(".happening-words").first).to_have_text("The document “rivers.md” was added by demo.", timeout=40_000)


def test_an_admin_adds_and_removes_people_and_the_removed_is_put_out(
    visit: Visit, workspace: str, expects_console_errors: None
) -> None:
    demo_visitor, bob_visitor = visit("demo"), visit("bob")
    bob = opened(bob_visitor, workspace)
    page = demo_visitor.page
    page.goto(f"{demo_visitor.address}/workspaces/{workspace}")
    expect(bob.locator("#add-member")).to_have_count(0)
    page.get_by_text("3 members").click()
    page.get_by_role("button", name="Remove bob").click()
    expect(bob.get_by_text("You are no longer a member of this workspace")).to_be_visible()
    expect(bob.locator("#broadcast")).to_be_hidden()
    expect(page.locator("#here [data-user=user_bob]")).to_have_count(0)
    expect(page.locator(".happening-words").first).to_have_text("bob is no longer a member.")
    assert bob.goto(f"{bob_visitor.address}/workspaces/{workspace}").status == 404  # type: ignore[union-attr]
    page.get_by_label("Add somebody").fill("user_nobody")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#members-error")).to_contain_text("has no member with this id")
    page.get_by_label("Add somebody").fill("user_bob")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#members [data-user=user_bob]")).to_have_count(1)
    expect(page.locator(".happening-words").first).to_have_text("You added bob to this workspace.")


def test_the_list_shows_ones_own_and_admins_make_new_ones(visit: Visit, workspace: str, guest: str) -> None:
    alice = visit("alice")
    alice.page.goto(f"{alice.address}/workspaces")
    expect(alice.page.locator(f"#workspaces [data-id={workspace}]")).to_contain_text("3 members · org_demo")
    expect(alice.page.locator("#create")).to_have_count(0)
    alice.page.locator(f"#workspaces [data-id={workspace}] a").click()
    expect(alice.page.get_by_role("heading", name="Annual report")).to_be_visible()
    nobody = visit(guest)
    nobody.page.goto(f"{nobody.address}/workspaces")
    expect(nobody.page.locator("#list-note")).to_contain_text("You are in no workspace yet")
    demo = visit("demo")
    demo.page.goto(f"{demo.address}/workspaces")
    demo.page.get_by_text("New workspace").click()
    demo.page.get_by_label("Name").fill("<b>Plans</b>")
    demo.page.get_by_role("button", name="Create").click()
    expect(demo.page.get_by_role("heading", name="<b>Plans</b>")).to_be_visible()
    expect(demo.page.locator("#here .person-name")).to_have_text(["demo"])


def test_a_stranger_finds_no_page(visit: Visit, workspace: str, guest: str, expects_console_errors: None) -> None:
    visitor = visit(guest)
    assert visitor.page.goto(f"{visitor.address}/workspaces/{workspace}").status == 404  # type: ignore[union-attr]
