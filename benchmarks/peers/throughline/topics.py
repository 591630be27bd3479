"""Prints what one event costs to match, in microseconds, for growing numbers of patterns up to the one given."""

import itertools
import json
import os
import random
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "realtime_project.settings")
django.setup()

from events.topics.grammar import Pattern, Topic, Trie  # noqa: E402 - after the settings

SOURCES = [f"source{n}" for n in range(10)]
EVENTS = [f"event{n}" for n in range(10)]
CHANCE = random.Random(17)


def a_pattern(n: int) -> Pattern:
    """Three of four name their resource; of some only the filter differs."""
    wild = n % 4 == 0
    filters = (("participant", f"p{n}"),) if wild else ()
    return Pattern("org", CHANCE.choice(SOURCES), "thing", CHANCE.choice([*EVENTS, "*"]), "*" if wild else f"r{n}", filters)


def a_topic(n: int) -> Topic:
    return Topic(
        "org", CHANCE.choice(SOURCES), "thing", CHANCE.choice(EVENTS), f"r{n}", (("participant", f"p{n}"), ("zone", "z"))
    )


def one_by_one(patterns):
    """The simplest matcher: what the trie is compared with."""
    return lambda topic: [each for each in patterns if each.matches(topic)]


def microseconds(match, topics) -> float:
    begun = time.perf_counter()
    for topic in topics:
        match(topic)
    return (time.perf_counter() - begun) / len(topics) * 1e6


def main(largest: int) -> None:
    figures = {}
    for count in itertools.takewhile(lambda count: count <= largest, (10, 10_000, 100_000)):
        patterns = [a_pattern(n) for n in range(count)]
        trie: Trie[int] = Trie()
        for number, pattern in enumerate(patterns):
            trie.add(pattern, number)
        topics = [a_topic(CHANCE.randrange(count)) for _ in range(20_000)]
        figures[f"trie_{count}"] = microseconds(trie.match, topics)
        if count <= 10_000:
            compared = topics[: 500_000 // count]
            figures[f"compared_{count}"] = microseconds(one_by_one(patterns), compared)
    print(json.dumps(figures))


main(int(sys.argv[1]))
