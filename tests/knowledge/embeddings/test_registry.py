import pytest
from django.core.exceptions import ImproperlyConfigured

from events.exceptions import InvalidRequest
from knowledge.embeddings import minilm, registry
from knowledge.embeddings.base import EmbeddingError
from knowledge.embeddings.hashing import HashingEmbedder
from knowledge.embeddings.minilm import MiniLMEmbedder


def test_names_of_openai_mean_the_offline_model_without_an_endpoint(settings):
    settings.KNOWLEDGE_EMBEDDINGS = "auto"
    assert registry.resolve("openai-small") == registry.resolve() == MiniLMEmbedder.key


def test_names_of_openai_mean_openai_with_an_endpoint(settings):
    settings.KNOWLEDGE_EMBEDDINGS = "auto"
    settings.OPENAI_API_KEY = "sk-x"
    assert registry.resolve() == registry.resolve("openai-small") == "text-embedding-3-small"
    assert registry.resolve("openai-large") == "text-embedding-3-large"
    assert registry.embedder("text-embedding-3-large").dimensions == 3072


def test_an_endpoint_for_embeddings_alone_goes_before_that_of_chat(settings):
    settings.OPENAI_BASE_URL, settings.EMBEDDINGS_BASE_URL = "http://chat/v1", "http://embeddings/v1"
    assert registry._endpoint()[0] == "http://embeddings/v1"


def test_a_chat_endpoint_without_embeddings_can_be_passed_by(settings):
    settings.KNOWLEDGE_EMBEDDINGS, settings.OPENAI_API_KEY = "minilm", "sk-x"
    assert registry.resolve("openai-small") == MiniLMEmbedder.key


def test_an_installation_without_the_model_still_finds_words(settings, monkeypatch):
    settings.KNOWLEDGE_EMBEDDINGS = "auto"
    monkeypatch.setattr(minilm, "MODEL_PACKAGE", "there_is_no_such_package")
    assert registry.resolve() == HashingEmbedder.key


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InvalidRequest, match="hashing, minilm"):
        registry.resolve("word2vec")


def test_a_setting_that_is_none_is_told(settings):
    settings.KNOWLEDGE_EMBEDDINGS = "magic"
    with pytest.raises(ImproperlyConfigured):
        registry.resolve()


def test_a_source_embedded_by_an_endpoint_that_is_gone_says_what_to_do():
    with pytest.raises(EmbeddingError, match="ingest the source again"):
        registry.embedder("text-embedding-3-small")


def test_the_same_words_are_near_without_a_model():
    first, same, other = HashingEmbedder().embed(
        ["the lighthouse warns ships", "Ships, warned by lighthouses", "bananas are yellow"]
    )
    assert first @ same > 0.5
    assert abs(first @ other) < 0.2
