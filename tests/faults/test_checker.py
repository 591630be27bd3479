"""The checker finds what it is there to find: each test spoils a ledger that is as it must be in one place."""

import copy

import pytest

from tests.faults.checker import check
from tests.faults.ledger import Answer, Got, History, Ledger, Publication, Reading, Wipe

USER = "user:ann"
COUNT = 6


def event(n: int, *, at: float | None = None, id: str = "", stream: str = USER) -> Got:
    return Got(float(n) if at is None else at, "event", stream=stream, id=id or f"{100 + n}-0", publisher="p", n=n)


def notice(at: float, *, stream: str = USER) -> Got:
    return Got(at, "notice", stream=stream)


@pytest.fixture
def ledger() -> Ledger:
    """One feed, all of which came; one answer, read twice; one job."""
    ledger = Ledger()
    ledger.publications = [Publication(USER, "p", n, float(n), f"{100 + n}-0", 1) for n in range(COUNT)]
    ledger.histories = [History("feed", "ann", (USER,), [event(n) for n in range(COUNT)])]
    steps = ((1, "run.started"), (2, "text.delta"), (3, "run.completed"))
    ledger.answers = {
        "a": Answer("a", "ann", "w0 w1 ", 0.0, "completed", "w0 w1 ", steps),
        "j": Answer("j", "ann", None, 0.0, "failed", "", ((1, "run.started"), (2, "run.failed")), changes_made=1),
    }
    ledger.readings = [
        Reading("first", "ann", "a", [(1, "other", "message_id"), (2, "text", "w0 "), (4, "text", "w1 "), (5, "end", "end")]),
        Reading("late", "ann", "a", [(1, "other", "message_id"), (4, "text", "w0 w1 "), (5, "end", "end")]),
        Reading("job", "ann", "j", [(1, "other", "intermediate"), (2, "end", "error")]),
    ]
    return ledger


def kinds(ledger: Ledger) -> set[str]:
    return {finding.kind for finding in check(ledger)}


def got_of(ledger: Ledger) -> list[Got]:
    return ledger.histories[0].got


def test_a_ledger_as_it_must_be_has_no_findings(ledger: Ledger):
    assert check(ledger) == []


@pytest.mark.parametrize("n", range(COUNT))
def test_an_event_that_never_came_is_lost(ledger: Ledger, n: int):
    del got_of(ledger)[n]
    [finding] = check(ledger)
    assert (finding.kind, finding.reader) == ("lost", "feed")
    assert f"p {n} " in finding.what
    assert finding.slice


def test_a_reader_that_received_nothing_lost_everything(ledger: Ledger):
    got_of(ledger).clear()
    assert len(check(ledger)) == COUNT


@pytest.mark.parametrize("n", range(COUNT))
def test_an_event_that_came_twice_is_doubled(ledger: Ledger, n: int):
    got_of(ledger).insert(n, event(n))
    assert kinds(ledger) == {"doubled"}


def test_an_event_that_was_stored_twice_is_doubled(ledger: Ledger):
    got_of(ledger).append(event(COUNT - 1, id="999-0"))
    assert kinds(ledger) == {"doubled"}


@pytest.mark.parametrize("n", range(COUNT - 1))
def test_two_events_that_came_the_wrong_way_round_are_disordered(ledger: Ledger, n: int):
    got = got_of(ledger)
    got[n], got[n + 1] = got[n + 1], got[n]
    assert "disordered" in kinds(ledger)


def test_numbers_in_order_under_ids_out_of_order_are_disordered(ledger: Ledger):
    got_of(ledger)[3] = event(3, id="50-0")
    assert kinds(ledger) == {"disordered"}


def test_an_event_of_a_stream_that_is_somebody_elses_is_foreign(ledger: Ledger):
    ledger.publications.append(Publication("user:ben", "q", 0, 0.0, "1-0", 1))
    got_of(ledger).append(Got(9.0, "event", stream="user:ben", id="1-0", publisher="q", n=0))
    assert kinds(ledger) == {"foreign"}


def test_even_a_notice_of_a_stream_that_is_somebody_elses_is_foreign(ledger: Ledger):
    ledger.wipes = [Wipe("flush_broker", 2.0, 2.5)]
    got_of(ledger).append(notice(9.0, stream="org:theirs"))
    assert kinds(ledger) == {"foreign"}


def test_news_of_somebody_elses_answer_is_foreign(ledger: Ledger):
    got_of(ledger).append(Got(9.0, "owned", message_id="a", what="message.finished"))
    assert check(ledger) == []
    ledger.histories[0].person = "ben"
    assert kinds(ledger) == {"foreign"}


def test_an_event_that_nobody_published_is_foreign(ledger: Ledger):
    got_of(ledger).append(event(99))
    assert kinds(ledger) == {"foreign"}


def test_a_request_for_somebody_elses_answer_that_was_answered_is_foreign(ledger: Ledger):
    ledger.trespasses.append("ben was answered")
    assert kinds(ledger) == {"foreign"}


def test_what_is_in_doubt_may_come_or_not(ledger: Ledger):
    ledger.publications[3].id = ""
    assert check(ledger) == []
    del got_of(ledger)[3]
    assert check(ledger) == []


class TestNotices:
    """`backlog.truncated`."""

    @pytest.fixture
    def wiped(self, ledger: Ledger) -> Ledger:
        """Events 2 and 3 were accepted, and forgotten before the reader had them: it was told so between 1 and 4."""
        ledger.wipes = [Wipe("flush_broker", 3.5, 3.6)]
        ledger.histories[0].got = [event(0), event(1), notice(3.7), event(4), event(5)]
        return ledger

    def test_told_in_the_right_place_is_as_it_must_be(self, wiped: Ledger):
        assert check(wiped) == []

    def test_not_told_is_lost(self, wiped: Ledger):
        del got_of(wiped)[2]
        assert [finding.kind for finding in check(wiped)] == ["lost", "lost"]

    @pytest.mark.parametrize("place", [0, 1, 4, 5])
    def test_told_in_another_place_is_lost(self, wiped: Ledger, place: int):
        got = got_of(wiped)
        told = got.pop(2)
        got.insert(place, told)
        assert "lost" in kinds(wiped)

    def test_told_though_the_broker_forgot_nothing_is_untrue(self, wiped: Ledger):
        wiped.wipes.clear()
        assert "untrue" in kinds(wiped)

    def test_told_again_after_an_event_from_after_the_wipe_is_untrue(self, wiped: Ledger):
        got_of(wiped).insert(4, notice(4.5))
        assert kinds(wiped) == {"untrue"}

    def test_told_before_the_wipe_is_untrue(self, wiped: Ledger):
        wiped.wipes = [Wipe("flush_broker", 8.0, 8.1)]
        assert "untrue" in kinds(wiped)

    def test_what_was_accepted_after_the_wipe_is_lost_even_when_told(self, wiped: Ledger):
        del got_of(wiped)[3]
        assert kinds(wiped) == {"lost"}

    def test_the_last_is_lost_even_when_told(self, wiped: Ledger):
        got_of(wiped)[3:] = []
        assert [finding.kind for finding in check(wiped)] == ["lost", "lost"]

    def test_events_may_come_again_after_a_notice(self, wiped: Ledger):
        wiped.histories[0].got = [event(0), event(1), notice(3.7), *(event(n) for n in range(COUNT))]
        assert check(wiped) == []

    def test_but_not_twice(self, wiped: Ledger):
        wiped.histories[0].got = [event(0), event(1), notice(3.7), event(4), event(4), event(5)]
        assert kinds(wiped) == {"doubled"}

    def test_what_died_with_a_primary_is_counted_apart(self, wiped: Ledger):
        del got_of(wiped)[2]
        wiped.unreplicated = {(USER, "p", 2), (USER, "p", 3)}
        assert check(wiped) == []


class TestAnswers:
    """Readers and the server."""

    def test_lost_text(self, ledger: Ledger):
        del ledger.readings[0].parts[2]
        assert kinds(ledger) == {"lost"}

    def test_text_that_came_twice(self, ledger: Ledger):
        ledger.readings[0].parts.insert(2, (2, "text", "w0 "))
        assert kinds(ledger) == {"doubled"}

    def test_text_that_came_twice_under_another_id(self, ledger: Ledger):
        ledger.readings[0].parts.insert(2, (3, "text", "w0 "))
        assert kinds(ledger) == {"doubled"}

    def test_frames_the_wrong_way_round(self, ledger: Ledger):
        parts = ledger.readings[0].parts
        parts[1], parts[2] = parts[2], parts[1]
        assert "disordered" in kinds(ledger)

    @pytest.mark.parametrize("number", range(3))
    def test_no_terminal_frame(self, ledger: Ledger, number: int):
        ledger.readings[number].parts.pop()
        assert kinds(ledger) == {"endless"}

    def test_two_terminal_frames(self, ledger: Ledger):
        ledger.readings[0].parts.append((6, "end", "error"))
        assert kinds(ledger) == {"doubled"}

    def test_read_by_somebody_else(self, ledger: Ledger):
        ledger.readings[0].person = "ben"
        assert kinds(ledger) == {"foreign"}

    @pytest.mark.parametrize("status", ["queued", "running", "awaiting_approval", ""])
    @pytest.mark.parametrize("id_", ["a", "j"])
    def test_a_run_that_is_not_over(self, ledger: Ledger, id_: str, status: str):
        ledger.answers[id_].status = status
        assert kinds(ledger) == {"endless"}

    @pytest.mark.parametrize("spoil", [lambda steps: steps[:-1], lambda steps: (*steps[:-1], (3, "run.failed"))])
    def test_a_journal_without_the_end_of_the_run(self, ledger: Ledger, spoil):
        ledger.answers["a"].steps = spoil(ledger.answers["a"].steps)
        assert kinds(ledger) == {"endless"}

    def test_a_journal_with_two_ends(self, ledger: Ledger):
        ledger.answers["a"].steps += ((4, "run.completed"),)
        assert kinds(ledger) == {"doubled"}

    def test_a_journal_with_a_hole(self, ledger: Ledger):
        steps = ledger.answers["a"].steps
        ledger.answers["a"].steps = (steps[0], (4, "text.delta"), (5, "run.completed"))
        assert kinds(ledger) == {"lost"}

    def test_a_completed_answer_that_is_not_what_the_engine_said(self, ledger: Ledger):
        ledger.answers["a"].text = "w0 w1 w2 "
        assert kinds(ledger) == {"lost"}
        ledger.answers["a"].status = "failed"
        ledger.answers["a"].steps = ((1, "run.started"), (2, "run.failed"))
        assert check(ledger) == []

    def test_an_approval_that_is_open_though_its_run_is_over(self, ledger: Ledger):
        ledger.answers["j"].pending_approvals = 1
        assert kinds(ledger) == {"endless"}

    def test_a_change_that_was_made_twice(self, ledger: Ledger):
        ledger.answers["j"].changes_made = 2
        assert kinds(ledger) == {"doubled"}

    def test_an_answer_that_nobody_was_told_of(self, ledger: Ledger):
        ledger.strays.append("the answer x is there")
        assert kinds(ledger) == {"doubled"}


class TestTokens:
    """Answers token by token, on topics."""

    @pytest.fixture
    def told(self, ledger: Ledger) -> Ledger:
        history = ledger.histories[0]
        history.tokens = {}
        for part in ((2, "text", "w0 "), (3, "text", "w1 "), (4, "end", "completed")):
            history.add_token("a", *part)
        return ledger

    def parts(self, told: Ledger) -> list[tuple[int, str, str]]:
        tokens = told.histories[0].tokens
        assert tokens is not None
        return tokens["a"].parts

    def test_all_of_them_are_as_it_must_be(self, told: Ledger):
        assert check(told) == []

    def test_one_that_never_came(self, told: Ledger):
        del self.parts(told)[1]
        assert kinds(told) == {"lost"}

    def test_one_that_came_twice(self, told: Ledger):
        self.parts(told).insert(1, (2, "text", "w0 "))
        assert kinds(told) == {"doubled"}

    def test_an_answer_of_which_nothing_came(self, told: Ledger):
        told.histories[0].tokens = {}
        assert kinds(told) == {"endless"}

    def test_somebody_elses(self, told: Ledger):
        told.histories[0].person = told.histories[0].tokens["a"].person = "ben"
        assert kinds(told) == {"foreign"}

    def test_who_was_told_that_events_are_missing_may_know_nothing_of_an_answer(self, told: Ledger):
        told.wipes = [Wipe("flush_broker", 2.5, 2.6)]
        got_of(told).insert(3, notice(2.7))
        told.histories[0].tokens = {}
        assert check(told) == []


def test_checking_changes_nothing(ledger: Ledger):
    before = copy.deepcopy(ledger)
    check(ledger)
    assert ledger == before
