import time

import pytest

from chat.engines.base import Finish, Sources, Turn
from chat.engines.extractive import NO_ANSWER, NOTICE, ExtractiveEngine, words_of
from tests.chat.engines.answers import parts_of, text_of
from tests.patience import patiently

FRANCE = ("france.txt", "France is a country. The capital of France is Paris. Its wine costs 3.14 euros a glass.")
SPAIN = ("spain.txt", "Spain lies to the south. Madrid is the capital of Spain!")


async def answer(question: str, **fields) -> str:
    return text_of(await parts_of(ExtractiveEngine(), question, **fields))


async def test_it_quotes_the_sentence_that_answers_with_its_number() -> None:
    text = await answer("What is the capital of Spain?", attachments=(FRANCE, SPAIN))
    assert text.startswith(NOTICE)
    assert text.split("\n\n")[1] == "> Madrid is the capital of Spain! [2]"


async def test_the_sources_come_first_and_carry_the_numbers_of_the_text() -> None:
    parts = await parts_of(ExtractiveEngine(), "What is the capital of Spain?", attachments=(FRANCE, SPAIN))
    assert isinstance(parts[0], Sources)
    assert [(each["index"], each["title"]) for each in parts[0].sources] == [(1, "france.txt"), (2, "spain.txt")]
    assert "Madrid is the capital" in parts[0].sources[1]["text"]
    assert parts[-1] == Finish("stop")


async def test_a_number_with_a_point_is_not_the_end_of_a_sentence() -> None:
    assert "> Its wine costs 3.14 euros a glass. [1]" in await answer("How many euros is the wine?", attachments=(FRANCE,))


@pytest.mark.parametrize("question", ["How do I get a refund?", "REFUND?", "refunds"])
async def test_another_ending_of_a_word_is_found(question: str) -> None:
    text = ("shop.txt", "We sell shoes. Refunds are paid within 14 days. Shipping is free.")
    assert "Refunds are paid within 14 days." in await answer(question, attachments=(text,))


@pytest.mark.parametrize(
    ("text", "question", "found"),
    [
        ("東京は日本の首都です。富士山は高い山です。", "日本の首都はどこですか", "東京は日本の首都です。"),
        ("Москва - столица России. Волга - большая река.", "Какая столица России?", "Москва - столица России."),
        ("القاهرة عاصمة مصر. النيل نهر طويل.", "ما عاصمة مصر؟", "القاهرة عاصمة مصر."),
    ],
)
async def test_no_language_is_needed(text: str, question: str, found: str) -> None:
    reply = await answer(question, attachments=(("t", text),))
    assert reply.split("\n\n")[1] == f"> {found} [1]"


@pytest.mark.parametrize("question", ["What is the airspeed of a swallow?", "???", "", "\U0001f600"])
async def test_it_says_plainly_when_nothing_matches(question: str) -> None:
    parts = await parts_of(ExtractiveEngine(), question, attachments=(FRANCE, SPAIN))
    assert "Nothing in the attached texts or this conversation matches" in text_of(parts)
    assert "no language model" in text_of(parts)
    assert ">" not in text_of(parts)


async def test_without_any_text_it_says_so_and_has_no_sources() -> None:
    parts = await parts_of(ExtractiveEngine(), "Why is the sky blue?")
    assert "Nothing in this conversation matches" in text_of(parts)
    assert not any(isinstance(part, Sources) for part in parts)


async def test_the_conversation_is_quoted_without_a_number_and_its_own_answers_are_not() -> None:
    history = (Turn("user", "My cat is called Felix. I live in Oslo."), Turn("assistant", f"{NOTICE} My cat is called nothing."))
    text = await answer("What is my cat called?", history=history)
    assert text.split("\n\n")[1:] == ["> My cat is called Felix."]


async def test_the_same_request_has_the_same_answer_a_few_words_at_a_time() -> None:
    first, second = [await parts_of(ExtractiveEngine(), "capital", attachments=(FRANCE, SPAIN)) for _ in range(2)]
    assert first == second
    assert len(first) > 5
    assert "  " not in text_of(first)


async def test_a_text_attached_twice_is_quoted_once() -> None:
    assert (await answer("capital of France", attachments=(FRANCE, ("copy", FRANCE[1])))).count("Paris") == 1


async def test_text_that_cannot_be_stored_is_cleaned() -> None:
    text = await answer("capital", attachments=(("a\x00", "The capital \ud83d is \x00 Paris."),))
    text.encode()
    assert "\x00" not in text


async def test_a_large_text_is_read_in_seconds_and_one_sentence_is_not_endless() -> None:
    began = time.monotonic()
    text = await answer("needle", attachments=(("big", "hay stack words here. " * 50_000 + "The needle " + "x" * 100_000 + "."),))
    assert time.monotonic() - began < patiently(10)
    assert "The needle" in text
    assert len(text) < 2000


def test_words_of_unspaced_scripts_are_pairs() -> None:
    assert words_of("Hello 東京都 a1") == ["hello", "東京", "京都", "a1"]


GUIDE = (
    "guide",
    """# Operating

## Redis is full

Raise `maxmemory`, or lower
`EVENTS_HOT_SECONDS`. Never evict.

## Codes

| code | HTTP status |
|---|---|
| `lease_lost` | 409 |
| `too_large` | 413 |
""",
)


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("What do I lower when Redis is full?", "> Raise `maxmemory`, or lower `EVENTS_HOT_SECONDS`. [1]"),
        ("Which HTTP status does a lost lease have?", "> | `lease_lost` | 409 | [1]"),
    ],
)
async def test_what_stands_above_a_sentence_counts_but_is_no_answer(question: str, quoted: str) -> None:
    assert (await answer(question, attachments=(GUIDE,), grounded=True)).split("\n\n")[1] == quoted


async def test_a_heading_alone_does_not_answer() -> None:
    assert ">" not in await answer("Redis", attachments=(("t", "# Redis\n\nNever evict."),))


async def test_a_text_of_headings_only_is_quoted() -> None:
    assert "> # The capital of France is Paris [1]" in await answer(
        "capital of France", attachments=(("t", "# The capital of France is Paris"),)
    )


async def test_a_grounded_answer_quotes_the_texts_alone() -> None:
    history = (Turn("user", "What is the capital of Norway? Oslo is the capital of Norway."),)
    assert "Oslo" in await answer("capital of Norway", history=history)
    assert (await answer("capital of Norway", history=history, grounded=True)) == f"{NOTICE} {NO_ANSWER}"
    assert (await answer("airspeed of a swallow", attachments=(FRANCE,), grounded=True)) == f"{NOTICE} {NO_ANSWER}"
    assert "Paris. [1]" in await answer("capital of France", attachments=(FRANCE,), history=history, grounded=True)
