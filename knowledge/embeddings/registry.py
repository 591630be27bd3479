"""Embedding models by name: which one embeds what is new, and which one embedded what is there."""

from collections.abc import Callable
from functools import lru_cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from events.exceptions import InvalidRequest
from knowledge.conf import conf
from knowledge.embeddings import minilm
from knowledge.embeddings.base import BaseEmbedder, EmbeddingError
from knowledge.embeddings.hashing import HashingEmbedder
from knowledge.embeddings.openai import OpenAIEmbedder

DEFAULT_MODEL = "openai-small"
DEFAULT_BASE_URL = "https://api.openai.com/v1"

OPENAI_MODELS = {
    "openai-small": ("text-embedding-3-small", 1536, 0.35),
    "openai-large": ("text-embedding-3-large", 3072, 0.35),
    "openai-ada": ("text-embedding-ada-002", 1536, 0.78),
}
"""Names in requests: the endpoint's model, its dimensions, and its anchor (see `BaseEmbedder`)."""

OFFLINE: dict[str, Callable[[], BaseEmbedder]] = {
    minilm.MiniLMEmbedder.key: minilm.MiniLMEmbedder,
    HashingEmbedder.key: HashingEmbedder,
}

NAMES = {
    **{name: model for name, (model, _, _) in OPENAI_MODELS.items()},
    **{model: model for model, _, _ in OPENAI_MODELS.values()},
    "minilm": minilm.MiniLMEmbedder.key,
    "hashing": HashingEmbedder.key,
}
"""Every name that a request may use, and the key of the model it means."""


def resolve(name: str = "") -> str:
    """The key of the model that embeds new content for a request that names `name` (empty: the default).

    A name of OpenAI's means the offline model where no endpoint is configured. Raises `InvalidRequest` for an unknown name.
    """
    wanted = NAMES.get(name or DEFAULT_MODEL)
    if wanted is None:
        raise InvalidRequest(f"There is no embedding model called {name[:100]!r}. Known: {', '.join(sorted(NAMES))}.")
    if wanted in OFFLINE:
        return wanted
    provider = conf.KNOWLEDGE_EMBEDDINGS
    if provider not in {"auto", "openai", "minilm", "hashing"}:
        raise ImproperlyConfigured("KNOWLEDGE_EMBEDDINGS must be auto, openai, minilm or hashing.")
    if provider == "openai" or (provider == "auto" and _endpoint() is not None):
        return wanted
    if provider == "hashing" or not minilm.installed():
        return HashingEmbedder.key
    return minilm.MiniLMEmbedder.key


def embedder(key: str) -> BaseEmbedder:
    """The model with this key. Raises `EmbeddingError` when it cannot be used here any more."""
    if key in OFFLINE:
        return _offline(key)
    endpoint = _endpoint()
    if endpoint is None:
        raise EmbeddingError(
            f"The model {key} needs an embeddings endpoint: set EMBEDDINGS_BASE_URL, or ingest the source again."
        )
    return _behind(*endpoint, key)


def _endpoint() -> tuple[str, str] | None:
    """The address and the key of the configured endpoint. Those of chat are read by name: chat is above this app."""
    address = (conf.EMBEDDINGS_BASE_URL or getattr(settings, "OPENAI_BASE_URL", "")).strip()
    key = (conf.EMBEDDINGS_API_KEY or getattr(settings, "OPENAI_API_KEY", "")).strip()
    return (address or DEFAULT_BASE_URL, key) if address or key else None


@lru_cache(maxsize=8)
def _offline(key: str) -> BaseEmbedder:
    return OFFLINE[key]()


@lru_cache(maxsize=8)
def _behind(base_url: str, api_key: str, model: str) -> BaseEmbedder:
    for known, dimensions, anchor in OPENAI_MODELS.values():
        if known == model:
            return OpenAIEmbedder(base_url=base_url, api_key=api_key, model=model, dimensions=dimensions, anchor=anchor)
    raise EmbeddingError(f"There is no embedding model {model} any more: ingest the source again.")
