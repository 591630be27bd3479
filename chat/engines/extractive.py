"""Answers without a language model: quotes the sentences that match the question.

Looks in the attached texts and in the conversation. Sentences are ranked with BM25 (Robertson
and Zaragoza, 2009). Nothing here knows a language: words are runs of letters and digits (pairs
of characters in scripts written without spaces), and what is common in the texts counts little
by itself, so no list of stop words is needed. The same request has always the same answer.
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
MAX_QUOTES = 4
MAX_SENTENCE_CHARS = 600
EXCERPT_CHARS = 300
WORDS_PER_PART = 3
# BM25's usual constants.
K1, B = 1.2, 0.75
LONG_WORD = 6
# A sentence must match words that carry so much of the question's weight, else it is no answer.
LEAST_COVERAGE = 0.25
# A sentence this much weaker than the best is not quoted beside it.
LEAST_OF_BEST = 0.5

# After the full stop of a sentence, not within 3.14; scripts without spaces have their own stops.
_SENTENCE_END = re.compile(
    "(?:(?<=[.!?\u2026])|(?<=[.!?\u2026][\"')\\]\u00bb\u201d\u2019]))\\s+|(?<=[\u3002\uff01\uff1f\uff61])|\n+"
)
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, its words, and the number of its attachment; 0: it was said in the conversation."""

    text: str
    words: tuple[str, ...]
    source: int


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
    where = "the attached texts or this conversation" if request.attachments else "this conversation"
    sources = tuple(
        {"index": number, "title": clean_text(name), "text": _excerpt(number, text, quotes)}
        for number, (name, text) in enumerate(request.attachments, 1)
    )
    if not quotes:
        return f"{NOTICE} {NOTHING.format(where=where)}", sources
    lines = [f"> {quote.text} [{quote.source}]" if quote.source else f"> {quote.text}" for quote in quotes]
    return "\n\n".join([f"{NOTICE} This matches your question:", *lines]), sources


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
    ranked = []
    for position, (sentence, counts) in enumerate(zip(sentences, counted, strict=True)):
        if sum(weights[word] for word in counts) < LEAST_COVERAGE * total:
            continue
        length = K1 * (1 - B + B * len(sentence.words) / average)
        score = sum(weights[word] * count * (K1 + 1) / (count + length) for word, count in counts.items())
        ranked.append((-score, position))
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
    texts = [(number, text) for number, (_, text) in enumerate(request.attachments, 1)]
    # Our own earlier answers only repeat what was quoted.
    texts += [(0, turn.text) for turn in reversed(request.history) if not turn.text.startswith(NOTICE)]
    for source, text in texts:
        for piece in _SENTENCE_END.split(clean_text(text)):
            sentence = " ".join(piece.split())
            if words := words_of(sentence):
                shown = sentence if len(sentence) <= MAX_SENTENCE_CHARS else f"{sentence[:MAX_SENTENCE_CHARS]}…"
                yield Sentence(shown, tuple(words), source)


def _forms(asked: list[str], sentences: list[Sentence]) -> dict[str, str]:
    """Which words of the texts count as which word of the question: the same, or one ending apart (refund, refunds)."""
    forms = {word: word for word in asked}
    stems = [word for word in asked if len(word) >= 4]
    for found in {word for sentence in sentences for word in sentence.words}:
        if len(found) < 4 or found in forms:
            continue
        for word in stems:
            if abs(len(word) - len(found)) <= 2 and (found.startswith(word) or word.startswith(found)):
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
