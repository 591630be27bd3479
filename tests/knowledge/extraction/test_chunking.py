import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.extraction.blocks import Block, pieces
from knowledge.extraction.chunking import LONGEST_CHARS, OVERLAP_TOKENS, TARGET_TOKENS, Chunker, chunked
from knowledge.extraction.sentences import sentences, windows
from knowledge.extraction.tokens import count_tokens

WORDS = st.sampled_from(
    [
        "word",
        "Sentence.",
        "e.g. this",
        "Wow! Next",
        "文章。",
        "これは長い文です。",
        "كلمة؟",
        "\n\n",
        "\n- item",
        " ",
        "a" * 300,
        "—",
        "e\u0301",
        "😀",
        "\t",
        "| x |\n",
    ]
)
TEXTS = st.lists(WORDS, max_size=120).map(" ".join) | st.text(max_size=400)
BLOCKS = st.lists(st.builds(Block, TEXTS, level=st.sampled_from([0, 0, 0, 1, 2, 3]), apart=st.booleans()), max_size=8)


@given(TEXTS)
def test_sentences_joined_are_the_text(text):
    assert "".join(sentences(text, most=20)) == text


@given(TEXTS)
def test_no_sentence_is_longer_than_asked(text):
    # Forty characters are never torn apart, and each may be a token.
    assert all(count_tokens(each) <= 40 for each in sentences(text, most=40))


@given(BLOCKS)
@settings(max_examples=200)
def test_chunks_hold_every_character_but_white_space_once_or_as_overlap(blocks):
    text = "".join(block.text for block in blocks)
    covered = bytearray(len(text))
    for chunk in chunked(blocks):
        assert chunk.text == text[chunk.start : chunk.end]
        covered[chunk.start : chunk.end] = b"\x01" * (chunk.end - chunk.start)
    assert all(done or character.isspace() for done, character in zip(covered, text, strict=True))


@given(BLOCKS)
def test_chunks_are_in_order_and_each_adds_something(blocks):
    chunks = list(chunked(blocks))
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    for before, after in itertools.pairwise(chunks):
        assert before.start < after.start
        assert before.end < after.end


@given(BLOCKS)
def test_no_chunk_is_larger_than_the_bounds(blocks):
    for chunk in chunked(blocks):
        assert chunk.tokens <= TARGET_TOKENS
        assert len(chunk.text) <= LONGEST_CHARS


@given(BLOCKS)
def test_the_overlap_is_small_and_whole_sentences(blocks):
    chunks = list(chunked(blocks))
    text = "".join(block.text for block in blocks)
    for before, after in itertools.pairwise(chunks):
        repeated = text[after.start : max(after.start, before.end)]
        assert count_tokens(repeated) <= OVERLAP_TOKENS + 2


def test_a_heading_begins_a_chunk_and_is_told_with_it():
    body = "This sentence fills the section with enough words to stand alone. " * 3
    blocks = [Block("# Guide\n", 1), Block(body), Block("## Install\n", 2), Block(body), Block("# Other\n", 1), Block(body)]
    assert [chunk.heading for chunk in chunked(blocks)] == ["Guide", "Guide > Install", "Other"]


def test_a_title_alone_goes_with_the_section_below_it():
    chunks = list(chunked([Block("# Guide\n", 1), Block("## Install\n", 2), Block("Run make. " * 20)]))
    assert len(chunks) == 1
    assert chunks[0].heading == "Guide > Install"


def test_a_chunk_ends_at_the_end_of_a_sentence():
    text = "Here is one more sentence of some length for the test. " * 60
    chunks = list(chunked([Block(text)]))
    assert len(chunks) > 2
    assert all(chunk.text.rstrip().endswith(".") for chunk in chunks)


@pytest.mark.parametrize("text", ["这是一个句子。" * 200, "これは文です。" * 200, "ประโยค" * 400, "x" * 20_000])
def test_scripts_without_spaces_are_cut_too(text):
    chunks = list(chunked([Block(piece) for piece in pieces(text)]))
    assert len(chunks) > 1
    assert max(chunk.tokens for chunk in chunks) <= TARGET_TOKENS


def test_an_abbreviation_does_not_end_a_sentence():
    assert list(sentences("Use tools, e.g. this one. Then stop.", most=50)) == ["Use tools, e.g. this one. ", "Then stop."]


def test_a_block_apart_shares_a_chunk_with_none():
    chunks = list(chunked([Block("name: Ann\n", apart=True), Block("name: Bob\n", apart=True, metadata={"row": 3})]))
    assert [chunk.text for chunk in chunks] == ["name: Ann\n", "name: Bob\n"]
    assert chunks[1].metadata == {"row": 3}


def test_a_small_chunker_never_keeps_more_than_it_returns():
    chunker = Chunker()
    held = 0
    for _ in range(500):
        held += sum(1 for _ in chunker.feed(Block("A sentence like all the others before it. " * 10)))
    assert held > 200


@given(TEXTS)
def test_windows_joined_are_the_text(text):
    assert "".join(windows(text, least=30)) == text
