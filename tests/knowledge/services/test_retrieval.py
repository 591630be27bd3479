"""The three strategies, thresholds, weights and filters."""

import pytest

from events.exceptions import InvalidRequest, Unavailable
from knowledge.models import Source
from knowledge.services.retrieval import SourceQuery, aretrieve, retrieve
from tests.knowledge.conftest import add_file, add_text, ready

ANIMALS = "# Animals\n\n" + "\n\n".join(
    f"## {name}\n\nThe {name} {what}. " + "It is described here in a few more words, so that the section stands alone. " * 2
    for name, what in {"cat": "sleeps on warm roofs", "dog": "guards the house", "eagle": "hunts above mountains"}.items()
)
PEOPLE = "name,city,year,joined\nAnn,Bern,1990,2024-01-31\nBob,Basel,2001,2023-05-05\nCid,Bern,1975,2020-12-01\n"


@pytest.fixture
def library(alice):
    ready(add_text(alice, ANIMALS, name="animals"))
    ready(add_text(alice, ANIMALS.replace("cat", "lynx"), name="wild", metadata={"lang": ["en", "de"]}))
    ready(add_file(alice, "people.csv", PEOPLE.encode()))


def found(caller, query, *sources, **options):
    return retrieve(caller=caller, query=query, sources=sources, **options)


def anything(name, **fields):
    return SourceQuery(name=name, similarity_threshold=-1, **fields)


@pytest.mark.parametrize("strategy", ["merge", "sequential", "ensemble"])
def test_the_passage_that_answers_is_first_with_where_it_is_from(alice, library, strategy):
    first = found(alice, "Where does the eagle hunt?", anything("animals"), strategy=strategy).passages[0]
    assert "hunts above mountains" in first.text
    assert first.heading == "Animals > eagle"
    assert (first.source_name, first.title, first.path) == ("animals", "animals", "animals")
    assert ANIMALS[first.start : first.end].strip() == first.text


@pytest.mark.parametrize("strategy", ["merge", "sequential", "ensemble"])
async def test_the_asynchronous_way_finds_the_same(alice, library, strategy):
    sources = [anything("animals", limit=3), anything("wild", weight=0.5)]
    ahead = await aretrieve(caller=alice, query="eagle mountains", sources=sources, strategy=strategy, max_total=5)
    from accounts.threads import in_thread

    assert ahead == await in_thread(
        retrieve, caller=alice, query="eagle mountains", sources=sources, strategy=strategy, max_total=5
    )
    assert len(ahead.passages) == 5


def test_merge_orders_by_similarity_times_weight(alice, library):
    def first(weight):
        return found(alice, "guards the house", anything("animals"), anything("wild", weight=weight)).passages[0]

    assert first(0.9).source_name == "animals"
    assert first(1.5).source_name == "wild"
    assert first(1.5).score == pytest.approx(1.5 * first(1.5).similarity, abs=1e-5)


def test_sequential_takes_the_next_source_only_when_the_first_is_not_enough(alice, library):
    def names(total):
        sources = [anything("wild", limit=3), anything("animals", weight=2.0)]
        return [
            passage.source_name for passage in found(alice, "house", *sources, strategy="sequential", max_total=total).passages
        ]

    assert set(names(3)) == {"wild"}
    assert names(5) == ["wild"] * 3 + ["animals"] * 2


def test_the_threshold_keeps_out_what_is_not_similar(alice, library):
    query = "The dog guards the house"
    near = found(alice, query, SourceQuery(name="animals", similarity_threshold=0.5)).passages
    assert {passage.heading for passage in near} == {"Animals > dog"}
    assert found(alice, query, SourceQuery(name="animals", similarity_threshold=1.0)).passages == []
    assert len(found(alice, query, anything("animals")).passages) == 3


def test_ensemble_finds_a_rare_word_that_nearness_does_not(alice):
    text = "".join(
        f"## Part {n}\n\nAn ordinary part about the sea, ships and sailors, number {n}. " * 3 + "\n\n" for n in range(60)
    )
    ready(add_text(alice, text.replace("number 37. ", "number 37, code XK-9981-Q. ", 1), name="parts"))
    query = SourceQuery(name="parts", similarity_threshold=0.99)
    assert found(alice, "XK-9981-Q", query).passages == []
    assert "XK-9981-Q" in found(alice, "XK-9981-Q", query, strategy="ensemble").passages[0].text


def test_ensemble_finds_nothing_by_one_common_word(alice, library):
    assert found(alice, "words about quantum chromodynamics", SourceQuery(name="animals"), strategy="ensemble").passages == []


def test_limits_are_kept_by_source_and_in_all(alice, library):
    passages = found(alice, "the", anything("animals", limit=1), anything("wild", limit=2), max_total=10).passages
    assert sorted(passage.source_name for passage in passages) == ["animals", "wild", "wild"]
    assert len(found(alice, "the", anything("animals"), anything("wild"), max_total=2).passages) == 2


def test_a_passage_asked_for_twice_is_given_once(alice, library):
    passages = found(alice, "dog", anything("animals"), anything("animals", weight=2.0)).passages
    assert len({passage.chunk_id for passage in passages}) == len(passages) == 3


def test_names_that_are_not_there_are_told(alice, library):
    result = found(alice, "dog", anything("animals"), anything("nothing"))
    assert result.missing == ["nothing"]
    assert result.passages


def test_a_source_is_named_by_its_id_too(alice, library):
    source = Source.objects.get(name="wild")
    assert {passage.source_id for passage in found(alice, "dog", anything(str(source.pk))).passages} == {str(source.pk)}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"city": "Bern"}, {"Ann", "Cid"}),
        ({"city": ["Basel", "Rome"]}, {"Bob"}),
        ({"city": []}, set()),
        ({"year": {"gte": 1990}}, {"Ann", "Bob"}),
        ({"year": {"gt": 1990, "lte": 2001}}, {"Bob"}),
        ({"year": {"lt": 1990.5}}, {"Ann", "Cid"}),
        ({"year": 1975}, {"Cid"}),
        ({"year": "1975"}, set()),
        ({"joined": {"gte": "2023-01-01", "lt": "2024-01-01"}}, {"Bob"}),
        ({"city": {"gte": 5}}, set()),
        ({"missing": {"gte": 5}}, set()),
        ({"city": "Bern", "year": {"lt": 1980}}, {"Cid"}),
        ({"city' OR true --": "x"}, set()),
        ({}, {"Ann", "Bob", "Cid"}),
    ],
)
@pytest.mark.parametrize("strategy", ["merge", "ensemble"])
def test_metadata_filters(alice, library, filters, names, strategy):
    passages = found(alice, "name city year", anything("people.csv", metadata_filters=filters), strategy=strategy).passages
    assert {passage.metadata["name"] for passage in passages} == names


def test_a_list_in_the_metadata_matches_by_its_members(alice, library):
    assert found(alice, "dog", anything("wild", metadata_filters={"lang": "de"})).passages
    assert not found(alice, "dog", anything("wild", metadata_filters={"lang": "fr"})).passages


@pytest.mark.parametrize(
    "filters", [{"a": {}}, {"a": {"near": 3}}, {"a": {"gte": None}}, {"a": {"gte": True}}, {"a": [[1]]}, {"a": "\x00"}]
)
def test_filters_that_are_none_are_refused(alice, library, filters):
    with pytest.raises(InvalidRequest):
        found(alice, "dog", anything("animals", metadata_filters=filters))


def test_an_unknown_strategy_is_refused(alice):
    with pytest.raises(InvalidRequest, match="ensemble"):
        found(alice, "dog", strategy="magic")


@pytest.mark.parametrize("query", ["", "   ", "???", "\x00", "😀", "' | ! & <-> :* \\", "a" * 10_000, "the of and"])
def test_no_query_breaks_the_search(alice, library, query):
    for strategy in ("merge", "ensemble"):
        found(alice, query, anything("animals"), strategy=strategy)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("东京是日本的首都。巴黎是法国的首都。", "日本的首都"),
        ("Der Leuchtturm warnt Schiffe.", "Leuchtturm"),
        ("Маяк предупреждает корабли.", "маяк"),
    ],
)
def test_other_languages_are_found_by_their_words(alice, text, query):
    ready(add_text(alice, text, name="foreign"))
    wanted = SourceQuery(name="foreign", similarity_threshold=0.99)
    assert found(alice, query, wanted, strategy="ensemble").passages


def test_a_source_whose_model_is_gone_says_what_to_do(alice, library):
    Source.objects.filter(name="animals").update(embedding_model="text-embedding-3-small")
    with pytest.raises(Unavailable, match="EMBEDDINGS_BASE_URL"):
        found(alice, "dog", anything("animals"))
