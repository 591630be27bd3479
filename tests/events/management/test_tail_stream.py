import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import aclosing
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.threads import in_thread
from events import inspecting, journal
from events.broker.connect import connect
from events.event import START
from events.publishing import publish
from events.writer import Writer
from tests.events.management.streams import AT, journaled, new_journaled_stream, new_stream, written
from tests.patience import patiently

pytestmark = pytest.mark.django_db(transaction=True)


def tail(stream, *options):
    out, err = StringIO(), StringIO()
    call_command("tail_stream", getattr(stream, "name", stream), *options, stdout=out, stderr=err)
    return out.getvalue().splitlines(), err.getvalue()


def objects(lines):
    return [json.loads(line) for line in lines]


def test_an_ended_stream_is_printed_to_its_terminal_event_and_the_command_ends():
    lines, _ = tail(journaled(["a", "b"]), "--json")
    assert objects(lines) == [
        {"id": "2", "type": "text.delta", "at": AT, "data": {"block": 1, "text": "ab"}},
        {"id": "3", "type": "run.completed", "at": AT, "data": {"conversation_id": "c", "finish_reason": "stop"}},
    ]


def test_without_json_a_line_has_id_time_type_and_data():
    lines, _ = tail(journaled(["a"]))
    assert lines[0].split() == ["1", "15:06:40.000", "text.delta", '{"text":"a","block":1}']


def test_a_cursor_leaves_out_what_came_before():
    stream = journaled(["a", "b", "c"])
    lines, _ = tail(stream, "--json", "--since", "2")
    assert [each["id"] for each in objects(lines)] == ["3", "4"]


def test_no_follow_stops_at_what_there_is():
    lines, _ = tail(written(["a", "b"]), "--json", "--no-follow")
    assert [each["data"]["text"] for each in objects(lines)] == ["a", "b"]


def test_a_backlog_stream_is_read_from_its_oldest_event():
    stream = new_stream("user")
    ids = [str(publish(stream=stream, type="message.started", data={"n": n})) for n in range(3)]
    lines, said = tail(stream, "--json", "--no-follow")
    assert [each["id"] for each in objects(lines)] == ids
    assert said == ""
    lines, _ = tail(stream, "--json", "--no-follow", "--since", ids[0])
    assert [each["id"] for each in objects(lines)] == ids[1:]
    assert tail(stream, "--no-follow", "--since", "now") == ([], "")


def test_it_says_when_events_are_missing():
    stream = new_stream("user")
    publish(stream=stream, type="message.started", data={})
    lines, said = tail(stream, "--no-follow", "--since", "5-0")
    assert len(lines) == 1
    assert "missing (unknown_cursor)" in said


def test_a_cursor_beyond_the_end_is_said_and_everything_printed():
    lines, said = tail(journaled(["a"]), "--json", "--since", "77")
    assert "missing (unknown_cursor)" in said
    assert [each["id"] for each in objects(lines)] == ["1", "2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "kind:id"),
        (["user:"], "kind:id"),
        (["potato:1"], "no kind of stream called 'potato'"),
        (["user:1", "--since", "yesterday"], "ms-n"),
        (["message:1", "--since", "5-1"], "digits"),
        (["message:not-there"], "never began, or its journal is pruned"),
        (["user:a\x1b[2J"], "control characters"),
        (["user:\udcff"], "control characters"),
    ],
)
def test_errors_are_one_clear_sentence(arguments, message):
    with pytest.raises(CommandError) as error:
        tail(arguments[0], "--no-follow", *arguments[1:])
    assert message in str(error.value)


def test_nothing_in_an_event_can_command_the_terminal():
    stream = new_stream("user")
    publish(stream=stream, type="message.started", data={"x": "\x1b]0;owned\x07 \u009b31m"})
    lines, _ = tail(stream, "--no-follow")
    assert lines[0].isascii()
    assert lines[0].isprintable()


def test_a_broker_that_is_away_is_said(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(CommandError, match="broker cannot be reached"):
        tail("user:1", "--no-follow")
    # A durable stream is still in the journal.
    lines, _ = tail(journaled(["a"]), "--json")
    assert len(lines) == 2


def started(stream, *options):
    """The command as a process of its own, on the tests' database."""
    name = connection.settings_dict["NAME"]
    url = os.environ["DATABASE_URL"].rsplit("/", 1)[0] + f"/{name}"
    return subprocess.Popen(
        [sys.executable, "manage.py", "tail_stream", stream.name, "--json", *options],
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_live_events_are_printed_as_they_come_and_ctrl_c_ends_with_0():
    stream = new_stream("user")
    publish(stream=stream, type="message.started", data={"n": 0})
    with started(stream) as process:
        for n in range(3):
            assert json.loads(process.stdout.readline())["data"] == {"n": n}
            publish(stream=stream, type="message.started", data={"n": n + 1})
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0
        assert "Traceback" not in process.stderr.read()


def test_a_pipe_that_closes_ends_it_quietly():
    stream = new_stream("user")
    publish(stream=stream, type="message.started", data={})
    with started(stream) as process:
        process.stdout.readline()
        process.stdout.close()
        publish(stream=stream, type="message.started", data={})
        process.wait(timeout=20)
        assert process.stderr.read() == ""


async def test_a_durable_stream_is_followed_to_its_end():
    stream = await in_thread(new_journaled_stream)
    lease = await in_thread(journal.take_lease, stream=stream)
    broker = connect()
    writer = Writer(broker=broker, flush_ms=1)
    writer.start()
    opened = await writer.open(stream=stream, lease=lease)
    opened.append("text.delta", {"block": 1, "text": "a"}, at_once=True)
    seen = []
    async with asyncio.timeout(patiently(20)), aclosing(inspecting.follow(stream=stream, cursor=START, live=True)) as batches:
        async for batch in batches:
            seen += [event.type for event in batch.events]
            if seen == ["text.delta"]:
                await writer.end(opened, events=[("run.cancelled", {"conversation_id": "c"})])
    assert seen == ["text.delta", "run.cancelled"]
    await writer.close()
    await broker.close()
