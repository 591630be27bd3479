"""The messages of a chat completion, made from an `EngineRequest`."""

import json
import re
from typing import Any, NotRequired, TypedDict

from chat.engines.base import EngineRequest, ToolOffer, ToolRound
from chat.engines.text import clean_text


class ChatMessage(TypedDict):
    """One message in the chat completions format."""

    role: str
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]


def chat_messages(request: EngineRequest) -> list[ChatMessage]:
    """The system prompt when there is one, the history oldest first, attachments and question, then what tools have said."""
    messages: list[ChatMessage] = []
    if request.system_prompt:
        messages.append({"role": "system", "content": clean_text(request.system_prompt)})
    messages.extend({"role": turn.role, "content": clean_text(turn.text)} for turn in request.history)
    messages.append({"role": "user", "content": clean_text(_question(request))})
    for round_ in request.rounds:
        messages.extend(_round(round_))
    return messages


def tool_definitions(tools: tuple[ToolOffer, ...]) -> list[dict[str, Any]]:
    """The tools in the chat completions format."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
        }
        for tool in tools
    ]


def _round(round_: ToolRound) -> list[ChatMessage]:
    calls = [
        {"id": call.call_id, "type": "function", "function": {"name": _name(call.name), "arguments": json.dumps(call.arguments)}}
        for call in round_.calls
    ]
    answers: list[ChatMessage] = [
        {"role": "tool", "tool_call_id": call.call_id, "content": clean_text(result)}
        for call, result in zip(round_.calls, round_.results, strict=True)
    ]
    return [{"role": "assistant", "content": clean_text(round_.text), "tool_calls": calls}, *answers]


def _name(name: str) -> str:
    """A name that providers take back: the model may have invented one that they refuse."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]


def _question(request: EngineRequest) -> str:
    """The question, after the attached texts, numbered as they are to be cited."""
    rule = ""
    if request.grounded:
        rule = " Answer from them only; when they hold no answer, say so."
        if not request.attachments:
            return (
                f"No text was found to answer this from: say so, and do not answer from memory.\n\nQuestion: {request.question}"
            )
    elif not request.attachments:
        return request.question
    texts = "\n\n".join(f"[{number}] {name}\n{text}" for number, (name, text) in enumerate(request.attachments, 1))
    return f"Texts, to be cited as [n]:{rule}\n\n{texts}\n\nQuestion: {request.question}"
