import numpy as np
import pytest

from knowledge.embeddings.minilm import MiniLMEmbedder, installed

pytestmark = pytest.mark.skipif(not installed(), reason="the offline embedding model is not installed")
SAME = [
    ("The cat sits on the mat.", "A cat is sitting on a rug."),
    ("How do I reset my password?", "What are the steps to change a forgotten password?"),
    ("The company made more money this year.", "The profits of the company have grown this year."),
]
OTHER = [
    ("The cat sits on the mat.", "The GDP of France rose in 2023."),
    ("How do I reset my password?", "Bananas are yellow."),
    ("Profits of the firm have grown.", "The volcano is covered with snow."),
]


@pytest.fixture(scope="module")
def model():
    return MiniLMEmbedder()


def cosine(model, pair):
    first, second = model.embed(pair)
    return float(first @ second)


@pytest.mark.parametrize("pair", SAME)
def test_what_means_the_same_is_near(model, pair):
    assert cosine(model, pair) > 0.55


@pytest.mark.parametrize("pair", OTHER)
def test_what_means_something_else_is_far(model, pair):
    assert cosine(model, pair) < 0.2


def test_vectors_have_length_1_and_the_told_dimensions(model):
    for vector in model.embed(["one", "", "x" * 5000, "東京 😀"]):
        assert vector.shape == (model.dimensions,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_text_has_the_same_vector_whatever_it_comes_with(model):
    (alone,) = model.embed(["A cat."])
    assert (model.embed(["Something much longer than that, with many more words.", "A cat."])[1] == alone).all()


def test_the_scale_of_requests_keeps_the_order_and_puts_the_anchor_at_0_7(model):
    scores = [model.score(each / 100) for each in range(-100, 101)]
    assert scores == sorted(scores)
    assert (model.score(0), model.score(model.anchor), model.score(1)) == (0, 0.7, 1)
    assert scores[0] == -1
