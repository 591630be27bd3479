from hypothesis import given
from hypothesis import strategies as st

from chat.engines.text import TextStitcher, clean_json, clean_text, excerpt

# Every kind of unit that matters, often.
nasty = st.text(alphabet=st.sampled_from(["a", "\x00", "\ud83d", "\ude00", "\udfff", "\ud800", "é", "\U0001f600", "\ufeff"]))


def stitched(pieces: list[str]) -> str:
    stitcher = TextStitcher()
    return "".join(map(stitcher.feed, pieces)) + stitcher.finish()


def model(text: str) -> str:
    """What clean text is, one unit at a time."""
    out, units = [], list(text)
    while units:
        unit = units.pop(0)
        if "\ud800" <= unit <= "\udbff" and units and "\udc00" <= units[0] <= "\udfff":
            out.append((unit + units.pop(0)).encode("utf-16-le", "surrogatepass").decode("utf-16-le"))
        elif unit == "\x00" or "\ud800" <= unit <= "\udfff":
            out.append("\ufffd")
        else:
            out.append(unit)
    return "".join(out)


def test_halves_in_two_pieces_are_one_character() -> None:
    stitcher = TextStitcher()
    assert stitcher.feed("so \ud83d") == "so "
    assert stitcher.feed("\ude00!") == "\U0001f600!"
    assert stitcher.finish() == ""


def test_a_half_left_alone_becomes_the_replacement_character() -> None:
    assert stitched(["a\ud83d", "b"]) == "a\ufffdb"
    assert stitched(["\ude00"]) == "\ufffd"
    assert stitched(["\ud83d", "\ud83d", "\ude00"]) == "\ufffd\U0001f600"
    assert stitched(["end\ud83d"]) == "end\ufffd"


def test_an_empty_piece_between_two_halves_changes_nothing() -> None:
    assert stitched(["\ud83d", "", "\ude00"]) == "\U0001f600"


def test_nul_becomes_the_replacement_character() -> None:
    assert stitched(["a\x00b"]) == "a\ufffdb"


@given(st.lists(nasty))
def test_any_cut_gives_the_same_storable_text(pieces: list[str]) -> None:
    whole = stitched(pieces)
    assert whole == model("".join(pieces)) == clean_text("".join(pieces))
    assert "\x00" not in whole
    whole.encode()


def test_json_is_cleaned_in_keys_and_values() -> None:
    assert clean_json({"\x00": ["\ud83d\ude00", {"a": "\ud83d"}], "n": 1}) == {"\ufffd": ["\U0001f600", {"a": "\ufffd"}], "n": 1}


def test_an_excerpt_is_one_short_printable_line() -> None:
    assert excerpt("a\nb\x00\x1b[31m c", 50) == "a b\ufffd [31m c".replace("\ufffd", "\ufffd")
    assert len(excerpt("x" * 1000, 50)) == 50
