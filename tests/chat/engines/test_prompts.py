from chat.engines.base import EngineRequest, ToolCall, ToolOffer, ToolRound, Turn
from chat.engines.prompts import chat_messages, tool_definitions


def test_without_prompt_history_or_texts_there_is_only_the_question() -> None:
    assert chat_messages(EngineRequest("Why?")) == [{"role": "user", "content": "Why?"}]


def test_attached_texts_are_numbered_as_they_are_to_be_cited() -> None:
    request = EngineRequest(
        "Why?", system_prompt="Be brief.", history=(Turn("user", "Hi"),), attachments=(("a", "A."), ("b", "B."))
    )
    system, earlier, question = chat_messages(request)
    assert (system["content"], earlier["content"]) == ("Be brief.", "Hi")
    assert question["content"].index("[1] a\nA.") < question["content"].index("[2] b\nB.") < question["content"].index("Why?")


def test_every_message_can_be_encoded() -> None:
    for message in chat_messages(EngineRequest("\ud83d", system_prompt="\udc00", history=(Turn("user", "\x00"),))):
        assert message["content"] == "\ufffd"


def test_a_grounded_question_says_what_it_may_be_answered_from() -> None:
    (asked,) = chat_messages(EngineRequest("Why?", attachments=(("a", "A."),), grounded=True))
    assert "[1] a\nA." in asked["content"]
    assert "from them only" in asked["content"]
    (nothing,) = chat_messages(EngineRequest("Why?", grounded=True))
    assert "No text was found" in nothing["content"]
    assert nothing["content"].endswith("Why?")


def test_each_round_of_tools_is_a_message_with_the_calls_and_one_for_each_result() -> None:
    calls = (ToolCall("c1", "look up!", {"at": "sky"}), ToolCall("c2", "count", {}, fault="bad"))
    rounds = (ToolRound("Let me see", calls, ("blue", "\ud83d")),)
    _, assistant, first, second = chat_messages(EngineRequest("Why?", rounds=rounds))
    assert (assistant["role"], assistant["content"]) == ("assistant", "Let me see")
    assert assistant["tool_calls"] == [
        # Providers refuse a whole request for a name like the first one's.
        {"id": "c1", "type": "function", "function": {"name": "look_up_", "arguments": '{"at": "sky"}'}},
        {"id": "c2", "type": "function", "function": {"name": "count", "arguments": "{}"}},
    ]
    assert first == {"role": "tool", "tool_call_id": "c1", "content": "blue"}
    assert second == {"role": "tool", "tool_call_id": "c2", "content": "\ufffd"}


def test_tools_are_described_as_functions() -> None:
    offer = ToolOffer("look", "Looks.", {"type": "object"})
    assert tool_definitions((offer,)) == [
        {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}}
    ]
