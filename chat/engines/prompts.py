"""The messages of a chat completion, made from an `EngineRequest`."""

from typing import TypedDict

from chat.engines.base import EngineRequest
from chat.engines.text import clean_text


class ChatMessage(TypedDict):
    """One message in the chat completions format."""

    role: str
    content: str


def chat_messages(request: EngineRequest) -> list[ChatMessage]:
    """The system prompt when there is one, the history oldest first, then attachments and question."""
    messages: list[ChatMessage] = []
    if request.system_prompt:
        messages.append({"role": "system", "content": clean_text(request.system_prompt)})
    messages.extend({"role": turn.role, "content": clean_text(turn.text)} for turn in request.history)
    messages.append({"role": "user", "content": clean_text(_question(request))})
    return messages


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
