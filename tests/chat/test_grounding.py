"""What answers rest on: really taken-in documents, through a request of S2 to the sources that readers are told."""

import asyncio
import json

import pytest

from accounts.models import User
from accounts.threads import in_thread
from chat.engines.base import EngineError
from chat.grounding import TOLD_BYTES, Grounding, _shares, ground
from chat.rag_request import parse
from chat.views.rag import GROUNDING_FIELDS
from events.event import to_json
from knowledge.extraction.tokens import count_tokens
from knowledge.models import Source
from knowledge.services import sources
from tests.chat.conftest import _person
from tests.knowledge.conftest import add_text, ready
from tests.patience import patiently

TEA = "Green tea is steeped at eighty degrees. Black tea wants boiling water."
COFFEE = "Espresso is pressed at nine bars. Filter coffee takes four minutes."
FILLING = "Nothing of interest happened on day {} of the voyage, and the crew mended sails."


@pytest.fixture(autouse=True)
def _no_model(settings):
    settings.KNOWLEDGE_EMBEDDINGS = "hashing"
    settings.OPENAI_BASE_URL = settings.OPENAI_API_KEY = ""


def kept(caller, name, text, **fields):
    return ready(add_text(caller, text, name=name, **fields))


def attached(caller, name, text, **fields):
    return kept(caller, name, text, purpose=Source.Purpose.ATTACHMENT, **fields)


@pytest.fixture
def library(alice, bob):
    """alice's two sources and two attachments, and one of each of bob's."""
    return {
        "tea": kept(alice, "tea", TEA, metadata={"kind": "leaf", "year": 2020}),
        "coffee": kept(alice, "coffee", COFFEE, metadata={"kind": "bean", "year": 2024}),
        "note": attached(alice, "note", "The kettle is in the cellar."),
        "other note": attached(alice, "other note", "The cups are in the attic."),
        "bob's": kept(bob, "secret", "The tea of bob is steeped in secret."),
        "bob's note": attached(bob, "bob's note", "The kettle of bob."),
    }


async def grounded(caller, query="steeped tea", **body):
    """What a request of this caller is grounded on."""
    asked = parse(json.dumps({"query": query, **body}).encode())
    return await ground(query=query, wanted=asked.model_dump(include=GROUNDING_FIELDS), user_pk=caller.pk)


async def failure(caller, **body):
    with pytest.raises(EngineError) as raised:
        await grounded(caller, **body)
    return raised.value


def told(grounding):
    """What readers are told, checked against what the engine is given."""
    sources = grounding.event()["sources"]
    assert [each["index"] for each in sources] == list(range(1, len(grounding.texts) + 1))
    for each, (name, text) in zip(sources, grounding.texts, strict=True):
        assert text.startswith(each["text"])
        assert name.startswith(each["title"])
    return sources


def titles(grounding):
    return [each["title"] for each in told(grounding)]


def rag(*names, strategy="merge", total=10, **fields):
    listed = [{"name": name, "model_name": "openai-small", "similarity_threshold": 0} | fields for name in names]
    return {"rag_config": {"sources": listed, "retrieval_strategy": strategy, "max_total_results": total}}


def attachments(*found, **config):
    return {"attachment_config": {"attachments": [{"storage_key": each.storage_key} for each in found]} | config}


async def test_rag_searches_the_configured_sources_only(library, alice):
    found = await grounded(alice, **rag("tea"))
    assert titles(found) == ["tea"]
    (source,) = told(found)
    assert source["source"] == "tea"
    assert source["source_id"] == str(library["tea"].pk)
    assert source["text"] == TEA
    assert 0 < source["score"] <= 1
    assert source["metadata"] == {"kind": "leaf", "year": 2020}


async def test_a_source_may_be_named_by_its_id(library, alice):
    assert titles(await grounded(alice, **rag(str(library["coffee"].pk)), query="espresso")) == ["coffee"]


@pytest.mark.parametrize("body", [{}, {"rag_config": None}, {"rag_config": {}}, {"rag_config": {"sources": []}}], ids=str)
async def test_rag_without_sources_searches_all_that_one_may_see_and_no_attachments(library, alice, body):
    found = await grounded(alice, query="Green tea is steeped at eighty degrees; espresso is pressed at nine bars", **body)
    assert set(titles(found)) == {"tea", "coffee"}


@pytest.mark.parametrize("strategy", ["merge", "sequential", "ensemble"])
async def test_every_strategy_reaches_the_sources(library, alice, strategy):
    found = await grounded(alice, **rag("coffee", "tea", strategy=strategy))
    assert set(titles(found)) == {"tea", "coffee"}
    # In order of the request, or of what fits best.
    assert titles(found)[0] == ("coffee" if strategy == "sequential" else "tea")


async def test_sequential_stops_when_there_is_enough(library, alice):
    assert titles(await grounded(alice, **rag("coffee", "tea", strategy="sequential", total=1))) == ["coffee"]


async def test_weights_limits_and_thresholds_reach_the_search(library, alice):
    weighted = rag("tea", "coffee")
    weighted["rag_config"]["sources"][0]["weight"] = 0
    assert titles(await grounded(alice, query="tea espresso pressed", **weighted))[0] == "coffee"
    assert titles(await grounded(alice, **rag("tea", similarity_threshold=1))) == []
    assert len(titles(await grounded(alice, **rag("tea", "coffee", total=1)))) == 1


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"kind": "leaf"}, {"tea"}),
        ({"kind": ["leaf", "bean"]}, {"tea", "coffee"}),
        ({"year": {"gte": 2021}}, {"coffee"}),
        ({"year": {"gte": 2020, "lte": 2020}}, {"tea"}),
        ({"kind": "leaf", "year": 2024}, set()),
    ],
)
async def test_metadata_filters_reach_the_search(library, alice, filters, expected):
    assert set(titles(await grounded(alice, **rag("tea", "coffee", metadata_filters=filters)))) == expected


async def test_sources_that_are_not_there_are_named_and_the_others_searched(library, alice):
    found = await grounded(alice, **rag("tea", "cocoa", "secret"))
    assert titles(found) == ["tea"]
    assert found.event()["missing"] == ["cocoa", "secret"]
    assert "missing" not in (await grounded(alice, **rag("tea"))).event()
    none = await grounded(alice, **rag("cocoa"))
    assert none.event() == {"sources": [], "missing": ["cocoa"]}


async def test_attachments_are_exactly_those_given_in_their_order(library, alice):
    found = await grounded(alice, context_mode="attachment", **attachments(library["other note"], library["note"]))
    assert titles(found) == ["other note", "note"]
    assert [text for _, text in found.texts] == ["The cups are in the attic.", "The kettle is in the cellar."]
    assert [each["storage_key"] for each in told(found)] == [library["other note"].storage_key, library["note"].storage_key]
    assert not any(each["truncated"] for each in told(found))


async def test_an_attachment_given_twice_has_two_numbers(library, alice):
    found = await grounded(alice, context_mode="attachment", **attachments(library["note"], library["note"]))
    assert [each["index"] for each in told(found)] == [1, 2]


async def test_an_attachment_has_the_title_of_the_request(library, alice):
    given = [{"storage_key": library["note"].storage_key, "title": "Where things are"}]
    found = await grounded(alice, context_mode="attachment", attachment_config={"attachments": given})
    assert titles(found) == ["Where things are"]


async def test_hybrid_is_passages_then_attachments_numbered_on(library, alice):
    found = await grounded(alice, context_mode="hybrid", **rag("tea"), **attachments(library["note"]))
    assert titles(found) == ["tea", "note"]


async def test_documents_are_found_by_their_paths(library, alice):
    found = await grounded(alice, context_mode="document", document_paths=["coffee", "tea"])
    assert [each["path"] for each in told(found)] == ["coffee", "tea"]
    assert found.texts == [("coffee", COFFEE), ("tea", TEA)]


@pytest.mark.parametrize(
    "body",
    [
        {"context_mode": "none"},
        {"context_mode": "attachment"},
        {"context_mode": "attachment", "attachment_config": {}},
        {"context_mode": "document"},
        {"context_mode": "document", "document_paths": []},
    ],
    ids=str,
)
async def test_where_nothing_is_given_there_is_nothing(library, alice, body):
    found = await grounded(alice, **body)
    assert found.texts == []
    assert found.event() == {"sources": []}


async def test_only_the_asked_kind_of_context_is_used(library, alice):
    everything = rag("tea") | attachments(library["note"]) | {"document_paths": ["coffee"]}
    for mode, expected in {
        "rag": ["tea"],
        "attachment": ["note"],
        "hybrid": ["tea", "note"],
        "document": ["coffee"],
        "none": [],
    }.items():
        assert titles(await grounded(alice, context_mode=mode, **everything)) == expected, mode


async def test_documents_of_others_fail_clearly_and_as_those_that_do_not_exist(library, alice):
    theirs = await failure(alice, context_mode="attachment", **attachments(library["note"], library["bob's note"]))
    assert (theirs.code, theirs.retryable) == ("context_not_found", False)
    assert library["bob's note"].storage_key in theirs.message
    unknown = await failure(alice, context_mode="attachment", attachment_config={"attachments": [{"storage_key": "att_x"}]})
    assert unknown.message.replace("att_x", "") == theirs.message.replace(library["bob's note"].storage_key, "")
    path = await failure(alice, context_mode="document", document_paths=["secret"])
    assert (path.code, "secret" in path.message) == ("context_not_found", True)


async def test_a_document_that_is_not_taken_in_yet_fails_clearly(library, alice):
    waiting = await in_thread(add_text, alice, "later", name="waiting", purpose=Source.Purpose.ATTACHMENT)
    error = await failure(alice, context_mode="attachment", **attachments(waiting))
    assert error.code == "context_not_found"
    assert "still being taken in" in error.message


async def test_a_deleted_document_is_gone(library, alice):
    note = library["note"]
    await in_thread(sources.delete, caller=alice, source_id=note.pk, purpose=Source.Purpose.ATTACHMENT)
    assert (await failure(alice, context_mode="attachment", **attachments(note))).code == "context_not_found"


async def test_what_is_shared_with_an_organisation_is_found_by_its_members_only(library, alice, bob, organization):
    await in_thread(kept, alice, "ours", "Steeped tea of the house.", organization=organization.public_id)
    carol = await in_thread(_person, "carol", organization)
    assert "ours" in titles(await grounded(carol, **rag("ours")))
    assert (await grounded(bob, **rag("ours"))).event()["missing"] == ["ours"]


async def test_the_documents_share_the_tokens_and_what_short_ones_leave(alice, library):
    long = await in_thread(attached, alice, "log", "\n\n".join(FILLING.format(day) for day in range(400)))
    for given in ([long, long], [library["note"], long], [long, library["note"]], [long, long, long]):
        found = await grounded(alice, context_mode="attachment", **attachments(*given, max_tokens=300))
        used = [count_tokens(text) for _, text in found.texts]
        assert 290 < sum(used) <= 300
        assert [each["truncated"] for each in told(found)] == [each is long for each in given]
    assert min(used) > 90


async def test_a_long_document_is_bounded_whatever_is_asked(alice, settings, stores):
    settings.CHAT_CONTEXT_TOKENS = 500
    long = await in_thread(attached, alice, "log", "\n\n".join(FILLING.format(day) for day in range(400)))
    for config in ({}, {"max_tokens": 1_000_000_000}, {"max_tokens": 1_000_000_000, "include_full_content": False}):
        ((_, text),) = (await grounded(alice, context_mode="attachment", **attachments(long, **config))).texts
        assert 250 < count_tokens(text) <= 500
    ((_, text),) = (await grounded(alice, context_mode="attachment", **attachments(long, max_tokens=1))).texts
    assert count_tokens(text) == 1


async def test_a_document_has_limits_of_its_own(alice, stores):
    long = await in_thread(attached, alice, "log", "\n\n".join(FILLING.format(day) for day in range(400)))
    given = [{"storage_key": long.storage_key, "max_tokens": 50}, {"storage_key": long.storage_key}]
    found = await grounded(alice, context_mode="attachment", attachment_config={"attachments": given, "max_tokens": 1000})
    first, second = (count_tokens(text) for _, text in found.texts)
    assert 30 < first <= 50
    assert 850 < second <= 950


async def test_without_full_content_the_best_passages_are_given_within_the_tokens(alice, stores):
    days = [FILLING.format(day) for day in range(400)]
    days[300] = "On this day the captain found a golden astrolabe below the deck."
    days[200] = "The astrolabe that the captain lost was golden, says the log."
    long = await in_thread(attached, alice, "log", "\n\n".join(days))
    question = "Where did the captain find the golden astrolabe?"
    whole = await grounded(alice, question, context_mode="attachment", **attachments(long, max_tokens=700))
    assert "astrolabe" not in whole.texts[0][1]
    found = await grounded(
        alice, question, context_mode="attachment", **attachments(long, max_tokens=700, include_full_content=False)
    )
    ((_, text),) = found.texts
    # In the order of the document.
    assert 0 < text.index(days[200]) < text.index(days[300])
    assert count_tokens(text) <= 700
    assert told(found)[0]["truncated"]
    given = [{"storage_key": long.storage_key, "include_full_content": False}]
    own = await grounded(alice, question, context_mode="attachment", attachment_config={"attachments": given})
    assert days[300] in own.texts[0][1]
    assert count_tokens(own.texts[0][1]) <= 1000


async def test_a_short_document_is_given_whole_even_as_excerpts(library, alice):
    found = await grounded(alice, context_mode="attachment", **attachments(library["note"], include_full_content=False))
    assert found.texts == [("note", "The kettle is in the cellar.")]
    assert not told(found)[0]["truncated"]


async def test_the_heading_of_a_passage_goes_with_it(alice, stores):
    text = f"# House\n\n{TEA}\n\n## Cellar\n\n" + " ".join(FILLING.format(day) for day in range(8))
    await in_thread(kept, alice, "house", text)
    found = await grounded(alice, "crew mended sails on the voyage", **rag("house", limit=1))
    assert [name for name, _ in found.texts] == ["house: House > Cellar"]
    assert [each["heading"] for each in told(found)] == ["House > Cellar"]


async def test_a_user_who_is_gone_gets_nothing(library, alice):
    await in_thread(User.objects.filter(pk=alice.pk).update, is_active=False)
    error = await failure(alice, **rag("tea"))
    assert (error.code, error.retryable) == ("context_unauthenticated", False)
    with pytest.raises(EngineError) as raised:
        await ground(query="x", wanted={"context_mode": "rag"}, user_pk=None)
    assert raised.value.code == "context_forbidden"


async def test_a_model_that_is_away_is_worth_another_try(library, alice):
    await in_thread(Source.objects.filter(pk=library["tea"].pk).update, embedding_model="text-embedding-3-small")
    error = await failure(alice, **rag("tea"))
    assert (error.code, error.retryable) == ("context_unavailable", True)


async def test_a_mistake_of_ours_is_not_told_as_the_users(library, alice):
    with pytest.raises(KeyError):
        await ground(query="x", wanted={"context_mode": "rag", "rag_config": {"sources": [{}]}}, user_pk=alice.pk)


async def test_the_event_loop_goes_on_while_the_question_is_embedded(alice, settings, stores):
    """The endpoint of the embeddings lives in this very loop: were it held up, nobody would answer."""
    asked = []

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        texts = json.loads(await reader.readexactly(length))["input"]
        asked.extend(texts)
        vector = [1.0] + [0.0] * 1535
        body = json.dumps({"data": [{"index": number, "embedding": vector} for number in range(len(texts))]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        settings.KNOWLEDGE_EMBEDDINGS = "openai"
        settings.EMBEDDINGS_BASE_URL = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        settings.EMBEDDINGS_TIMEOUT_SECONDS = 5
        await in_thread(kept, alice, "tea", TEA)
        async with asyncio.timeout(patiently(10)):
            assert titles(await grounded(alice, "How hot is tea?", **rag("tea"))) == ["tea"]
    assert asked[-1] == "How hot is tea?"


@pytest.mark.parametrize(
    ("wanted", "total", "shares"),
    [
        ([], 10, []),
        ([5, 5], 10, [5, 5]),
        ([50, 50], 10, [5, 5]),
        ([50, 1], 10, [9, 1]),
        ([1, 50, 2, 50], 13, [1, 5, 2, 5]),
        ([7], 0, [0]),
        ([4, 4, 4], 10, [3, 3, 4]),
    ],
)
def test_tokens_are_shared_fairly(wanted, total, shares):
    assert _shares(wanted, total) == shares


def test_many_long_texts_make_no_event_too_large_for_its_readers():
    grounding = Grounding()
    for number in range(50):
        grounding.add("東京" * 20, "茶" * 5000, metadata={"n": number})
    event = grounding.event()
    assert len(to_json(event)) <= TOLD_BYTES
    assert len(event["sources"]) == 50
    assert all(each["text"] and each["metadata"] for each in event["sources"])
    assert all(len(text) == 5000 for _, text in grounding.texts)
    for _ in range(50):
        grounding.add("x", "y", metadata={"n": "z" * 8000})
    assert len(to_json(grounding.event())) <= TOLD_BYTES
    assert len(grounding.event()["sources"]) == 100
