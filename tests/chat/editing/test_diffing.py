import re
import time

from hypothesis import given
from hypothesis import strategies as st

from chat.editing import diffing
from chat.editing.diffing import marked
from tests.patience import patiently


def unmarked(html):
    return re.sub("</?(?:del|ins)>", "", html)


def test_what_is_gone_and_what_is_new_is_marked_word_by_word():
    old, new = marked("<p>Payment is <b>due</b> soon.</p>", "<p>Payment was <b>due</b> very soon.</p>")
    assert old == "<p>Payment <del>is</del> <b>due</b> soon.</p>"
    assert new == "<p>Payment <ins>was</ins> <b>due</b><ins> very</ins> soon.</p>"


def test_a_mark_never_crosses_a_tag_nor_touches_one():
    old, new = marked("<p>one <b>two</b> three</p>", '<p class="x">uno <i title="a b">dos</i> tres</p>')
    assert unmarked(old) == "<p>one <b>two</b> three</p>"
    assert "<b><del>two</del></b>" in old
    assert '<i title="a b"><ins>dos</ins></i>' in new


def test_scripts_comments_and_entities_stay_whole():
    old, new = marked("<script>a b</script><!-- x -->A &amp; B", "<script>c d</script><!-- y -->A &lt; B")
    assert old == "<script>a b</script><!-- x -->A <del>&amp;</del> B"
    assert new == "<script>c d</script><!-- y -->A <ins>&lt;</ins> B"


def test_everything_of_a_new_and_of_a_deleted_section_is_marked():
    assert marked("", "<li>new</li>") == ("", "<li><ins>new</ins></li>")
    assert marked("<li>old</li>", "") == ("<li><del>old</del></li>", "")


@given(st.text(alphabet="ab <>/p&;\n", max_size=60), st.text(alphabet="ab <>/p&;\n", max_size=60))
def test_without_the_marks_both_are_what_they_were(old, new):
    first, second = marked(old, new)
    # What looks like a mark in the text itself cannot be told from one afterwards.
    assert unmarked(first) == unmarked(old)
    assert unmarked(second) == unmarked(new)


def test_large_texts_do_not_take_for_ever(monkeypatch):
    words = " ".join(f"w{number}" for number in range(30_000))
    began = time.monotonic()
    old, _new = marked(f"<p>{words}</p>", f"<p>{words[::-1]}</p>")
    assert time.monotonic() - began < patiently(5)
    assert old.startswith("<p><del>")
    monkeypatch.setattr(diffing, "MOST_COMPARISONS", 1)
    assert marked("<p>a b c</p>", "<p>a x y c</p>")[0] == "<p>a <del>b</del> c</p>"
