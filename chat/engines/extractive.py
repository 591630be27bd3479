"""Answers without a language model: quotes the sentences that match the question.

Looks in the attached texts and in the conversation; for a grounded answer in the texts alone.
Sentences are ranked with BM25 (Robertson and Zaragoza, 2009); what stands above one - the name of
its text, a heading, the head of a table - counts as well, but less. Nothing here knows a language:
words are runs of letters and digits (pairs of characters in scripts written without spaces), and
what is common in the texts counts little by itself, so no list of stop words is needed. The same
request has always the same answer.
"""

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Any

from chat.engines.base import BaseEngine, EnginePart, EngineRequest, Finish, Sources, TextDelta
from chat.engines.text import clean_text

NOTICE = "I have no language model here and can only quote."
NOTHING = "Nothing in {where} matches your question."
NO_ANSWER = "The sources hold no answer to your question."
MAX_QUOTES = 4
MAX_SENTENCE_CHARS = 600
EXCERPT_CHARS = 300
WORDS_PER_PART = 3
# BM25's usual constants.
K1, B = 1.2, 0.75
LONG_WORD = 6
# A sentence and what stands above it must match words that carry so much of the question's weight, else it is no answer.
LEAST_COVERAGE = 0.25
# The sentence by itself so much.
LEAST_OF_ITS_OWN = 0.15
# What a word above a sentence is worth against one in it.
ABOVE = 0.5
# A sentence this much weaker than the best is not quoted beside it.
LEAST_OF_BEST = 0.5

# After the full stop of a sentence, not within 3.14; scripts without spaces have their own stops.
_SENTENCE_END = re.compile(
    "(?:(?<=[.!?\u2026])|(?<=[.!?\u2026][\"')\\]\u00bb\u201d\u2019]))\\s+|(?<=[\u3002\uff01\uff1f\uff61])|\n+"
)
_WORD = re.compile(r"[^\W_]+")
_INSIDE = "`(\"'"
_HEADING = re.compile(r"#{1,6}\s")
_TABLE_RULE = re.compile(r"\|[|:\-\s]+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, its words, the number of its attachment (0: it was said in the conversation), and the words above it."""

    text: str
    words: tuple[str, ...]
    source: int
    above: frozenset[str] = frozenset()


class ExtractiveEngine(BaseEngine):
    """Quotes; takes no OPTIONS."""

    async def stream(self, request: EngineRequest) -> AsyncGenerator[EnginePart, None]:
        """The sources when texts are attached, then the quotes, a few words at a time."""
        # In a thread: attached texts may be long, and every other answer shares this loop.
        answer, sources = await asyncio.to_thread(compose, request)
        if sources:
            yield Sources(sources)
        for piece in _pieces(answer):
            yield TextDelta(piece)
            await asyncio.sleep(0)
        yield Finish("stop")


def compose(request: EngineRequest) -> tuple[str, tuple[dict[str, Any], ...]]:
    """The whole answer and its sources, whose `index` is the [n] in the answer."""
    sentences = list(_sentences(request))
    quotes = best(request.question, sentences)
    sources = tuple(
        {"index": number, "title": clean_text(name), "text": _excerpt(number, text, quotes)}
        for number, (name, text) in enumerate(request.attachments, 1)
    )
    if not quotes:
        return f"{NOTICE} {_nothing(request)}", sources
    lines = [f"> {quote.text} [{quote.source}]" if quote.source else f"> {quote.text}" for quote in quotes]
    return "\n\n".join([f"{NOTICE} This matches your question:", *lines]), sources


def _nothing(request: EngineRequest) -> str:
    if request.grounded:
        return NO_ANSWER
    return NOTHING.format(where="the attached texts or this conversation" if request.attachments else "this conversation")


def best(question: str, sentences: list[Sentence]) -> list[Sentence]:
    """The sentences that answer best, best first; none when nothing carries enough of the question."""
    asked = list(dict.fromkeys(words_of(question)))
    if not asked or not sentences:
        return []
    forms = _forms(asked, sentences)
    counted = [Counter(forms[word] for word in sentence.words if word in forms) for sentence in sentences]
    weights = _weights(asked, counted)
    average = sum(len(sentence.words) for sentence in sentences) / len(sentences)
    total = sum(weights.values())
    above = {words: {forms[word] for word in words if word in forms} for words in {each.above for each in sentences}}
    ranked = []
    for position, (sentence, counts) in enumerate(zip(sentences, counted, strict=True)):
        own = sum(weights[word] for word in counts)
        around = ABOVE * sum(weights[word] for word in sorted(above[sentence.above] - counts.keys()))
        if own < LEAST_OF_ITS_OWN * total or own + around < LEAST_COVERAGE * total:
            continue
        length = K1 * (1 - B + B * len(sentence.words) / average)
        score = sum(weights[word] * count * (K1 + 1) / (count + length) for word, count in counts.items())
        ranked.append((-score - around, position))
    ranked.sort()
    return _distinct(sentences[position] for score, position in ranked if score <= LEAST_OF_BEST * ranked[0][0])


def words_of(text: str) -> list[str]:
    """The words of a text, folded; pairs of neighbours where words are not spaced."""
    words: list[str] = []
    for word in _WORD.findall(text.casefold()):
        if not _UNSPACED.search(word):
            words.append(word)
            continue
        for run in _UNSPACED.findall(word):
            words.extend(run[i : i + 2] for i in range(len(run) - 1)) if len(run) > 1 else words.append(run)
        words.extend(_UNSPACED.sub(" ", word).split())
    return words


def _sentences(request: EngineRequest) -> Iterable[Sentence]:
    """The attached texts' sentences, then those said in the conversation, newest turn first."""
    for number, (name, text) in enumerate(request.attachments, 1):
        yield from _sentences_of(text, number, name)
    if not request.grounded:
        for turn in reversed(request.history):
            # Our own earlier answers only repeat what was quoted.
            if not turn.text.startswith(NOTICE):
                yield from _sentences_of(turn.text, 0, "")


def _sentences_of(text: str, source: int, name: str) -> Iterable[Sentence]:
    lines = _lines(clean_text(text))
    found = False
    for line, above in _with_what_is_above(lines, name):
        for piece in _SENTENCE_END.split(line):
            if made := _sentence(piece, source, above):
                found = True
                yield made
    if not found:
        # Nothing but headings: then they are all that is said.
        yield from (made for line in lines if (made := _sentence(line, source, frozenset())))


def _sentence(piece: str, source: int, above: frozenset[str]) -> Sentence | None:
    text = " ".join(piece.split())
    words = words_of(text)
    shown = text if len(text) <= MAX_SENTENCE_CHARS else f"{text[:MAX_SENTENCE_CHARS]}…"
    return Sentence(shown, tuple(words), source, above) if words else None


def _lines(text: str) -> list[str]:
    """The lines; one that goes on as no sentence begins is part of the line before, which was only wrapped there."""
    lines: list[list[str]] = []
    for line in map(str.strip, text.split("\n")):
        wrapped = line[:1].islower() or (line[:1] in _INSIDE and not line.startswith("```"))
        if line and wrapped and lines and lines[-1][0][:1] not in ("", "#", "|"):
            lines[-1].append(line)
        else:
            lines.append([line])
    return [" ".join(parts) for parts in lines]


def _with_what_is_above(lines: list[str], name: str) -> Iterable[tuple[str, frozenset[str]]]:
    """The lines that say something, each with the words of the text's name, its heading and the head of its table."""
    named = frozenset(words_of(name))
    heading = above = named
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if _HEADING.match(line):
            heading = above = named | set(words_of(line))
        elif line.startswith("|") and _TABLE_RULE.fullmatch(following):
            above = heading | set(words_of(line))
        else:
            if not line.startswith("|"):
                above = heading
            yield line, above


def _forms(asked: list[str], sentences: list[Sentence]) -> dict[str, str]:
    """Which words of the texts count as which word of the question: the same, or one ending apart (refund, refunds)."""
    forms = {word: word for word in asked}
    stems = [word for word in asked if len(word) >= 4]
    for found in {word for sentence in sentences for word in (*sentence.words, *sentence.above)}:
        if len(found) < 4 or found in forms:
            continue
        for word in stems:
            if abs(len(word) - len(found)) <= 3 and (found.startswith(word) or word.startswith(found)):
                forms[found] = word
                break
    return forms


def _weights(asked: list[str], counted: list[Counter[str]]) -> dict[str, float]:
    """What each word of the question is worth: its inverse document frequency, a sentence being a document.

    A short word is worth less, because in a few sentences the rarity of "how" says nothing; a
    word that occurs nowhere is worth as much as one that occurs once.
    """
    number = len(counted)
    holding = Counter(word for counts in counted for word in counts)
    return {
        word: math.log(1 + (number - found + 0.5) / (found + 0.5)) * _length_weight(word)
        for word in asked
        for found in [max(1, holding[word])]
    }


def _length_weight(word: str) -> float:
    """From 0 to 1; digits, and pairs of an unspaced script, count in full."""
    return 1.0 if word.isdigit() or _UNSPACED.search(word) else min(len(word), LONG_WORD) / LONG_WORD


def _distinct(ranked: Iterable[Sentence]) -> list[Sentence]:
    """The first few, each text once."""
    kept: dict[str, Sentence] = {}
    for sentence in ranked:
        kept.setdefault(sentence.text.casefold(), sentence)
        if len(kept) == MAX_QUOTES:
            break
    return list(kept.values())


def _excerpt(number: int, text: str, quotes: list[Sentence]) -> str:
    """What was quoted from an attachment, or how it begins."""
    quoted = " … ".join(quote.text for quote in quotes if quote.source == number)
    return quoted or clean_text(text[:EXCERPT_CHARS])


def _pieces(answer: str) -> list[str]:
    """The answer a few words at a time; together they are the answer exactly."""
    words = re.findall(r"\S+\s*", answer)
    return ["".join(words[i : i + WORDS_PER_PART]) for i in range(0, len(words), WORDS_PER_PART)]
