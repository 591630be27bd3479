import json

import pytest
from rest_framework.exceptions import ErrorDetail

from chat.serializers import QuestionSerializer, TitleSerializer
from chat.views.streams import parse_question
from events.exceptions import InvalidRequest


def refusal(body):
    with pytest.raises(InvalidRequest) as error:
        parse_question(body if isinstance(body, bytes) else json.dumps(body).encode())
    return error.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"question": "a"',
        b"\xff\xfe",
        b'{"question": "\xc3"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"seed": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_is_said_to_be_none(body):
    assert refusal(body).startswith("The body is not JSON")


@pytest.mark.parametrize("body", [[], "text", 1, None, True])
def test_what_is_no_object_is_refused(body):
    assert "must be a JSON object" in refusal(body)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "question: This field is required"),
        ({"question": ""}, "question: This field may not be blank"),
        ({"question": " \n\t"}, "question: The question is empty"),
        ({"question": None}, "question: This field may not be null"),
        ({"question": []}, "question: Not a valid string"),
        ({"question": {}}, "question: Not a valid string"),
        ({"question": True}, "question: Not a valid string"),
        ({"question": "a\x00b"}, "question: The text contains the character NUL"),
        ({"question": "a\ud83d"}, "question: "),
        ({"question": "a" * 100_001}, "100001 characters; at most 100000"),
        ({"question": "a", "conversation_id": "x"}, "conversation_id: Must be a valid UUID"),
        ({"question": "a", "conversation_id": []}, "conversation_id: "),
        ({"question": "a", "application_id": "a" * 129}, "application_id: "),
        ({"question": "a", "application_id": "\udfff"}, "application_id: "),
        ({"question": "a", "attachments": "x"}, "attachments: Expected a list"),
        ({"question": "a", "attachments": ["x"]}, "attachments.0: Invalid data"),
        (
            {"question": "a", "attachments": [{"name": "n", "text": "t"}, {"name": "n"}]},
            "attachments.1.text: This field is required",
        ),
        (
            {"question": "a", "attachments": [{"name": "n", "text": "\x00"}]},
            "attachments.0.text: The text contains the character NUL",
        ),
        ({"question": "a", "attachments": [{"name": "n", "text": "t"}] * 21}, "attachments: "),
        ({"question": "a", "temperature": 2.1}, "temperature: "),
        ({"question": "a", "temperature": -1}, "temperature: "),
        ({"question": "a", "temperature": float("nan")}, "temperature: "),
        ({"question": "a", "temperature": float("inf")}, "temperature: "),
        ({"question": "a", "temperature": "warm"}, "temperature: "),
        ({"question": "a", "max_tokens": 0}, "max_tokens: "),
        ({"question": "a", "max_tokens": 1.5}, "max_tokens: "),
        ({"question": "a", "seed": -1}, "seed: "),
        ({"question": "a", "seed": 2**31}, "seed: "),
    ],
)
def test_a_field_that_is_wrong_is_named(fields, message):
    assert message in refusal(fields)
    assert "ErrorDetail" not in refusal(fields)


def test_a_refusal_can_be_sent():
    """Half a surrogate pair that came in must not go out: UTF-8 has no bytes for it."""
    for fields in ({"question": "\ud800"}, {"question": "a", "conversation_id": "\ud800"}, {"\ud800": 1}):
        json.dumps({"message": refusal(fields)}, ensure_ascii=False).encode()


def test_a_question_is_taken_as_it_is():
    question = parse_question(
        json.dumps(
            {
                "question": "  Why?\n",
                "conversation_id": "123e4567-e89b-12d3-a456-426614174000",
                "application_id": "app_demo",
                "attachments": [{"name": "n", "text": " t "}],
                "temperature": 0,
                "max_tokens": 5,
                "seed": 1,
                "history": "ignored",
                "api_key": None,
            }
        ).encode()
    )
    assert question.text == "  Why?\n"
    assert str(question.conversation_id) == "123e4567-e89b-12d3-a456-426614174000"
    assert question.attachments == [{"name": "n", "text": " t "}]
    assert question.options == {"temperature": 0, "max_tokens": 5, "seed": 1}
    assert parse_question(b'{"question": "a", "conversation_id": null}').conversation_id is None


def test_the_longest_question_is_a_setting(settings):
    settings.CHAT_QUESTION_MAX_CHARS = 3
    assert parse_question(b'{"question": "abc"}').text == "abc"
    assert "4 characters" in refusal({"question": "abcd"})


@pytest.mark.parametrize("title", ["", " ", None, [], "a" * 201, "a\x00", "a\ud800"])
def test_a_title_that_is_none_is_refused(title):
    serializer = TitleSerializer(data={"title": title})
    assert not serializer.is_valid()
    assert all(isinstance(each, ErrorDetail) for each in serializer.errors["title"])


def test_no_field_is_forgotten():
    assert set(QuestionSerializer().fields) == {
        *("question", "conversation_id", "application_id", "attachments"),
        *("temperature", "max_tokens", "seed", "tools"),
    }
