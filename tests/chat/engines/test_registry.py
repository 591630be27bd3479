import contextlib

import pytest
from django.core.exceptions import ImproperlyConfigured

from chat.engines import local
from chat.engines.base import BaseEngine, EngineError
from chat.engines.extractive import ExtractiveEngine
from chat.engines.openai import OpenAIEngine
from chat.engines.registry import close_engines, engine, selected_alias, selected_engine
from chat.engines.scripted import ScriptedEngine


class OwnEngine(BaseEngine):
    def __init__(self, *, name: str = "", broken: bool = False) -> None:
        self.name = name
        self.broken = broken
        self.closed = 0

    def check(self) -> str | None:
        return "Mend it." if self.broken else None

    async def close(self) -> None:
        self.closed += 1
        if self.broken:
            raise RuntimeError("cannot close")


NOT_AN_ENGINE = "chat.engines.registry.engine"
OWN = f"{__name__}.OwnEngine"


@pytest.fixture(autouse=True)
async def _configured(settings, monkeypatch):
    settings.OPENAI_BASE_URL = settings.OPENAI_API_KEY = ""
    settings.CHAT_ENGINE = "auto"
    settings.CHAT_ENGINES = {
        "openai": {"BACKEND": "chat.engines.openai.OpenAIEngine", "OPTIONS": {"api_key": "x"}},
        "local": {"BACKEND": "chat.engines.local.LocalEngine", "OPTIONS": {"model_path": "/nowhere.gguf"}},
        "extractive": {"BACKEND": "chat.engines.extractive.ExtractiveEngine"},
        "scripted": {"BACKEND": "chat.engines.scripted.ScriptedEngine", "OPTIONS": {}},
        "own": {"BACKEND": OWN, "OPTIONS": {"name": "n"}},
    }
    yield
    with contextlib.suppress(RuntimeError):
        await close_engines()


def test_an_alias_is_one_engine_per_process_with_its_options() -> None:
    assert engine("own") is engine("own")
    assert engine("own").name == "n"
    assert isinstance(engine("scripted"), ScriptedEngine)


def test_auto_takes_openai_when_an_address_or_key_is_set(settings) -> None:
    settings.OPENAI_BASE_URL = "http://127.0.0.1:1/v1"
    assert isinstance(selected_engine(), OpenAIEngine)
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = "", "sk"
    assert selected_alias() == "openai"


def test_auto_takes_the_local_model_when_it_is_installed(settings, tmp_path, monkeypatch) -> None:
    weights = tmp_path / "model.gguf"
    weights.touch()
    settings.CHAT_ENGINES = settings.CHAT_ENGINES | {
        "local": {"BACKEND": "chat.engines.local.LocalEngine", "OPTIONS": {"model_path": str(weights)}}
    }
    monkeypatch.setattr(local, "find_spec", lambda name: object())
    assert selected_alias() == "local"


def test_auto_takes_extractive_when_nothing_else_can_answer() -> None:
    assert isinstance(selected_engine(), ExtractiveEngine)


def test_auto_without_any_of_its_engines_says_what_to_set(settings) -> None:
    settings.CHAT_ENGINES = {"own": settings.CHAT_ENGINES["own"]}
    with pytest.raises(ImproperlyConfigured, match="one of own"):
        selected_engine()


def test_a_named_engine_is_taken(settings) -> None:
    settings.CHAT_ENGINE = "own"
    assert isinstance(selected_engine(), OwnEngine)


def test_none_refuses(settings) -> None:
    settings.CHAT_ENGINE = "none"
    with pytest.raises(EngineError) as caught:
        selected_engine()
    assert (caught.value.code, caught.value.retryable) == ("engine_not_configured", False)


def test_an_engine_that_cannot_answer_says_why(settings) -> None:
    settings.CHAT_ENGINE = "local"
    with pytest.raises(EngineError, match=r"model_path|Install") as caught:
        selected_engine()
    assert caught.value.code == "engine_not_configured"


def test_an_unknown_alias_lists_the_known(settings) -> None:
    settings.CHAT_ENGINE = "opnai"
    with pytest.raises(ImproperlyConfigured, match=r"'opnai'.*auto, none or one of extractive, local, openai, own, scripted"):
        selected_engine()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"BACKEND": "no.such.Engine"}, "cannot import 'no.such.Engine'"),
        ({"BACKEND": "chat.engines.openai.Nope"}, "Nope"),
        ({"BACKEND": "nodots"}, "BACKEND"),
        ({"BACKEND": NOT_AN_ENGINE}, "is no BaseEngine"),
        ({"BACKEND": OWN, "OPTIONS": {"nmae": "x"}}, "nmae"),
        ({"BACKEND": OWN, "OPTIONS": []}, "must be"),
        ({"OPTIONS": {}}, "must be"),
        ("chat.engines.openai.OpenAIEngine", "must be"),
    ],
)
def test_a_bad_entry_names_its_alias_and_what_is_wrong(settings, entry: object, said: str) -> None:
    settings.CHAT_ENGINES = {"mine": entry}
    with pytest.raises(ImproperlyConfigured, match=r'CHAT_ENGINES\["mine"\]') as caught:
        engine("mine")
    assert said in str(caught.value)


async def test_closing_reaches_every_engine_and_the_next_use_makes_a_new_one(settings) -> None:
    settings.CHAT_ENGINES = {name: {"BACKEND": OWN, "OPTIONS": {"broken": name == "a"}} for name in "abc"}
    made = [engine(name) for name in "abc"]
    with pytest.raises(RuntimeError, match="cannot close"):
        await close_engines()
    assert [each.closed for each in made] == [1, 1, 1]
    assert engine("b") is not made[1]


async def test_a_changed_setting_makes_a_new_engine_and_the_old_one_is_closed_too(settings) -> None:
    old = engine("own")
    settings.CHAT_ENGINES = {"own": {"BACKEND": OWN, "OPTIONS": {"name": "other"}}}
    assert engine("own").name == "other"
    await close_engines()
    assert old.closed == 1
