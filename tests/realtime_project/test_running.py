"""What a running server tells the other commands on its machine."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from realtime_project import running


def test_what_was_told_is_heard_until_it_is_forgotten(data_dir, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(data_dir))
    assert running.told("DATABASE_URL") == ""
    running.tell(data_dir, {"DATABASE_URL": "postgres://x"})
    running.tell(data_dir, {"DATABASE_URL": "postgres://y"})
    assert running.told("DATABASE_URL") == "postgres://y"
    assert running.told("REDIS_URL") == ""
    assert (data_dir / running.FILE).stat().st_mode & 0o077 == 0
    running.forget(data_dir)
    running.forget(data_dir)
    assert running.told("DATABASE_URL") == ""


def test_a_damaged_file_tells_nothing(data_dir, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(data_dir))
    for damaged in ("", "{", "[]", '"x"', "\x00"):
        (data_dir / running.FILE).write_text(damaged)
        assert running.told("DATABASE_URL") == ""


def test_a_process_that_signs_refuses_the_placeholder():
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        running.require_key(running.placeholder_key())
    assert running.placeholder_key() != running.placeholder_key()
    running.require_key("a real one")
