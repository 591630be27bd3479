"""What an engine is asked for a run: the question, what was said before, prompts, options, and the tools it may use."""

from typing import Any

from chat.conf import conf
from chat.engines.base import EngineRequest, Turn
from chat.models import Application, Message, Run
from chat.services import conversations


def engine_request(run: Run) -> EngineRequest:
    """What the run asks its engine. Raises `Message.DoesNotExist` when the question is gone."""
    application = _application(run)
    question, history = _so_far(run.message)
    attachments = tuple((item["name"], item["text"]) for message in [*history, question] for item in message.attachments)
    turns = _given_turns(run.context) or tuple(_turn(each, run.message) for each in history if each.text)
    options = run.options | ({"model": application.model} if application and application.model else {})
    own_prompt = application.system_prompt if application else ""
    prompts = [run.context.get("system_prompt") or own_prompt or conf.CHAT_SYSTEM_PROMPT, *_given_prompts(run.context)]
    return EngineRequest(question.text, turns, "\n\n".join(prompts), attachments, options)


def _so_far(answer: Message) -> tuple[Message, list[Message]]:
    """What an answer answers, and what was said before that, in its order. Other answers to the same are not part of it."""
    said = Message.objects.select_related("author", "application")
    question = conversations.question_of(answer, said)
    if question is None:
        raise Message.DoesNotExist(f"What {answer.pk} answers is gone.")
    before = said.filter(conversation_id=answer.conversation_id, position__lt=question.position).order_by("-position")
    return question, list(before[: conf.CHAT_HISTORY_MESSAGES])[::-1]


def _turn(said: Message, answer: Message) -> Turn:
    """A message as the engine is told it: in a room only an agent's own are the assistant's, and others' have their names."""
    is_answer = said.role == Message.Role.ASSISTANT
    if not answer.conversation.type:
        return Turn("assistant" if is_answer else "user", said.text)
    if is_answer and said.application_id == answer.application_id:
        return Turn("assistant", said.text)
    return Turn("user", f"{conversations.speaker(said)}: {said.text}")


def _given_turns(context: dict[str, Any]) -> tuple[Turn, ...]:
    """The history that came with the request; a `system` turn is part of the prompt."""
    given = context.get("history") or []
    return tuple(Turn(turn["role"], turn["content"]) for turn in given if turn["role"] != "system")


def _given_prompts(context: dict[str, Any]) -> list[str]:
    return [turn["content"] for turn in context.get("history") or [] if turn["role"] == "system"]


def tools_of(run: Run) -> tuple[str, ...]:
    """The application's tools; of them those that the request wanted, if it named any."""
    application = _application(run)
    given = application.tools if application else []
    wanted = run.context.get("tools")
    return tuple(name for name in given if wanted is None or name in wanted)


def _application(run: Run) -> Application | None:
    """As which it answers: in a room an agent, else the application of the conversation."""
    return run.message.application or run.message.conversation.application
