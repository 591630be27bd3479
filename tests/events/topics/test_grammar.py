import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.exceptions import InvalidRequest
from events.topics.grammar import Pattern, Topic, Trie, make_topic, parse_pattern, parse_topic


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (
            "events.org_123.conversations.conversation.message_posted.*",
            ["events.org_123.conversations.conversation.message_posted.conv_456"],
            [
                "events.org_124.conversations.conversation.message_posted.conv_456",
                "events.org_123.conversations.conversation.created.conv_456",
            ],
        ),
        (
            "events.org_123.conversations.conversation.message_posted.conv_456",
            ["events.org_123.conversations.conversation.message_posted.conv_456"],
            ["events.org_123.conversations.conversation.message_posted.conv_457"],
        ),
        (
            "events.org_123.tasks.task.completed.*",
            ["events.org_123.tasks.task.completed.t1", "events.org_123.tasks.task.completed.t2.agent.a"],
            ["events.org_123.tasks.task.failed.t1"],
        ),
        ("events.org_123.flows.flow.run.*", ["events.org_123.flows.flow.run.f"], ["events.org_123.flows.flow.updated.f"]),
        (
            "events.*.apps.app.event_received.app_456",
            ["events.any.apps.app.event_received.app_456"],
            ["events.any.apps.app.x.app_456"],
        ),
        (
            "events.org_123.conversations.conversation.message_posted.*.participant.part_789",
            [
                "events.org_123.conversations.conversation.message_posted.c.participant.part_789",
                "events.org_123.conversations.conversation.message_posted.c.lang.en.participant.part_789.zone.z",
            ],
            [
                "events.org_123.conversations.conversation.message_posted.c",
                "events.org_123.conversations.conversation.message_posted.c.participant.part_1",
                "events.org_123.conversations.conversation.message_posted.c.other.part_789",
            ],
        ),
        (
            "events.o.s.r.e.i.k.*",
            ["events.o.s.r.e.i.k.1", "events.o.s.r.e.i.a.b.k.1"],
            ["events.o.s.r.e.i", "events.o.s.r.e.i.l.1"],
        ),
    ],
)
def test_which_topics_a_pattern_matches(pattern, matching, other):
    for each in matching:
        assert parse_pattern(pattern).matches(parse_topic(each)), each
        assert _trie(pattern).match(parse_topic(each)) == ({pattern})
    for each in other:
        assert not parse_pattern(pattern).matches(parse_topic(each)), each


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has the form"),
        ("events", "has the form"),
        ("events.org_123.flows.flow.run", "has the form"),
        ("event.org_123.flows.flow.run.*", "has the form"),
        ("events.org_123.flows.flow.run.*.key", "ends with a key"),
        ("events.org_123.flows.flow.run.>", "segment 6"),
        ("events.org_123.flows..run.*", "segment 4"),
        ("events.org_123.fl*ws.flow.run.*", "segment 3"),
        ("events.org_123.flows.flow.run.**", "segment 6"),
        ("events.org_123.flöws.flow.run.*", "segment 3"),
        ("events.org_123.flows.flow.run.*\n", "segment 6"),
        ("events.org_123.flows.flow.run." + "x" * 129, "segment 6"),
        ("events.org_123.flows.flow.run.*.*.value", "must be named"),
        ("events.org_123.flows.flow.run.*.k.v.k.w", "once only"),
        ("events.o.s.r.e.i" + ".k.v" * 6, "At most 16 segments"),
        ("x" * 100_000, "characters"),
    ],
)
def test_what_is_no_pattern_is_refused_and_the_refusal_is_short(text, says):
    with pytest.raises(InvalidRequest, match=says) as caught:
        parse_pattern(text)
    assert len(caught.value.message) < 400


def test_a_topic_has_no_wildcard():
    with pytest.raises(InvalidRequest, match="segment 6"):
        parse_topic("events.o.s.r.e.*")


def test_a_topic_is_written_as_it_is_read_with_its_filters_in_order():
    text = "events.o.s.r.e.i.a.1.b.2"
    assert str(parse_topic("events.o.s.r.e.i.b.2.a.1")) == text == str(parse_topic(text))
    made = make_topic(organization="o", source="s", resource="r", event="e", resource_id="i", filters={"b": "2", "a": "1"})
    assert made == parse_topic(text)


def test_a_segment_of_a_topic_that_is_made_is_checked():
    with pytest.raises(InvalidRequest, match="resourceId"):
        make_topic(organization="o", source="s", resource="r", event="e", resource_id="a.b")
    with pytest.raises(InvalidRequest, match="the filter k"):
        make_topic(organization="o", source="s", resource="r", event="e", resource_id="i", filters={"k": "*"})


def _trie(*patterns):
    trie = Trie()
    for each in patterns:
        trie.add(parse_pattern(each), each)
    return trie


# Few names, so that they meet.
NAMES = st.sampled_from(["a", "b"])
PAIRS = st.dictionaries(st.sampled_from(["k", "l", "m"]), NAMES, max_size=3)
TOPICS = st.builds(lambda path, pairs: Topic("o", *path, tuple(sorted(pairs.items()))), st.tuples(*[NAMES] * 4), PAIRS)
WISHES = st.sampled_from(["a", "b", "*"])
PATTERNS = st.builds(
    lambda path, pairs: Pattern("o", *path, tuple(sorted(pairs.items()))),
    st.tuples(*[WISHES] * 4),
    st.dictionaries(st.sampled_from(["k", "l", "m"]), WISHES, max_size=3),
)


def _reference(pattern, topic):
    """Written on its own: segments compared in turn, filters looked for."""
    mine, other = str(pattern).split("."), str(topic).split(".")
    if any(a not in ("*", b) for a, b in zip(mine[:6], other[:6], strict=True)):
        return False
    pairs = (
        list(itertools.batched(other[6:], 2))
        if hasattr(itertools, "batched")
        else list(zip(other[6::2], other[7::2], strict=True))
    )
    wanted = zip(mine[6::2], mine[7::2], strict=True)
    return all(any(key == k and value in ("*", v) for k, v in pairs) for key, value in wanted)


@given(st.lists(PATTERNS, max_size=40), st.lists(TOPICS, min_size=1, max_size=10), st.randoms(use_true_random=False))
@settings(max_examples=400, deadline=None)
def test_a_trie_gives_exactly_what_a_simple_comparison_gives_whatever_was_added_and_removed(patterns, topics, chance):
    trie = Trie()
    held = dict(enumerate(patterns))
    for number, pattern in held.items():
        trie.add(pattern, number)
    for _ in range(2):
        for topic in topics:
            assert trie.match(topic) == {number for number, pattern in held.items() if _reference(pattern, topic)}
            assert all(pattern.matches(topic) == _reference(pattern, topic) for pattern in held.values())
        for number in chance.sample(sorted(held), len(held) // 2):
            trie.remove(held.pop(number), number)
    for number, pattern in held.items():
        trie.remove(pattern, number)
    assert trie.is_empty


def test_the_same_value_under_two_patterns_is_given_once_and_stays_until_both_are_removed():
    trie, topic = Trie(), parse_topic("events.o.s.r.e.i")
    wide, narrow = parse_pattern("events.o.s.*.e.*"), parse_pattern("events.o.s.r.e.i")
    trie.add(wide, "x")
    trie.add(narrow, "x")
    assert trie.match(topic) == {"x"}
    trie.remove(wide, "x")
    assert trie.match(topic) == {"x"}
    trie.remove(wide, "x")
    trie.remove(narrow, "x")
    assert trie.match(topic) == set()


def test_a_match_costs_the_same_among_a_hundred_patterns_and_twenty_thousand():
    topic = parse_topic("events.o.s.r.e.i5.k.v5")

    def seconds(count):
        trie = _trie(*(f"events.o.s.r.e.i{n}.k.v{n}" for n in range(count)))
        return min(_timed(trie, topic) for _ in range(5))

    # Ten times: what is measured is small, and the machine may be busy.
    assert seconds(20_000) < 10 * seconds(100)


def _timed(trie, topic):
    began = time.perf_counter()
    for _ in range(200):
        trie.match(topic)
    return time.perf_counter() - began
