"""Markdown of answers: what is rendered, and what can never come out."""

import time
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chat.markdown import ATTRIBUTES, MAX_MARKDOWN_CHARS, TAGS, is_web_address, render

VECTORS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](&#x6A;&#x61;vascript&colon;alert(1))",
    "[a](javascript&#x3A;alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[a](vbscript:msgbox(1))",
    "[a](\x01javascript:alert(1))",
    "[a]( javascript:alert(1))",
    "[a](<javascript:alert(1)>)",
    "<javascript:alert(1)>",
    "[a]: javascript:alert(1)\n\n[a]",
    '[a](https://x.test "onmouseover=alert(1)")',
    '[a](https://x.test" onmouseover="alert(1))',
    "![a](https://evil.test/pixel.png)",
    "![a](javascript:alert(1))",
    '![x" onerror="alert(1)](https://evil.test/x.png)',
    "[![a](https://evil.test/p.png)](https://x.test)",
    "```html onload=alert(1)\n<script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "`<script>alert(1)</script>`",
    "<a href='javascript:alert(1)'>x</a>",
    "<style>*{background:url(https://evil.test)}</style>",
    "<math><mtext></table></math><img src onerror=alert(1)>",
    "| a |\n|:-:|\n| <img src=x onerror=alert(1)> |",
    "<!-- --><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<form action=https://evil.test><input name=password>",
    "a\0<script\0>alert(1)</script>",
    "http://x.test/<script>alert(1)</script>",
    '<https://x.test/"onclick=alert(1)>',
]


class _Reader(HTMLParser):
    """Collects every element of a piece of HTML, and objects to all that is not allowed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment came out: {data!r}")


def assert_harmless(html: str) -> None:
    for tag, attributes in _Reader(html).elements:
        assert tag in TAGS, f"<{tag}> came out"
        allowed = ATTRIBUTES.get(tag, set()) | ({"rel"} if tag == "a" else set())
        assert set(attributes) <= allowed, f"<{tag} {attributes}> came out"
        if tag == "a":
            assert attributes.get("rel") == "noopener noreferrer nofollow"
            if "href" in attributes:
                assert is_web_address(attributes["href"] or "")
                assert attributes["target"] == "_blank"


@pytest.mark.parametrize("text", VECTORS)
def test_attack_comes_out_harmless(text: str) -> None:
    assert_harmless(render(text))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from(VECTORS), st.sampled_from(list("[]()<>`*_~|#!\"'&\\\n\t ")), st.text(max_size=8))).map(
        "".join
    )
)
@example("\ud83d")
def test_any_text_comes_out_harmless(text: str) -> None:
    assert_harmless(render(text))


def test_raw_html_is_shown_as_text() -> None:
    assert render("a <b>bold</b>") == "<p>a &lt;b&gt;bold&lt;/b&gt;</p>\n"


def test_common_markdown_is_rendered() -> None:
    html = render("# Title\n\n**bold** *it* ~~gone~~ `code`\n\n3. three\n4. four\n\n> said\n\n---\n\nline  \nbreak")
    for part in (
        "<h1>Title</h1>",
        "<strong>bold</strong> <em>it</em> <s>gone</s> <code>code</code>",
        '<ol start="3">',
        "<blockquote>",
        "<hr>",
        "line<br>",
    ):
        assert part in html


def test_code_block_keeps_its_text_and_language() -> None:
    assert render("```python\nif a < b:\n    pass\n```") == (
        '<pre><code class="language-python">if a &lt; b:\n    pass\n</code></pre>\n'
    )


def test_table_keeps_alignment_as_a_class_and_scrolls_in_its_own_box() -> None:
    html = render("| a | b | c |\n|:--|:-:|--:|\n| 1 | 2 | 3 |")
    assert html.startswith('<div class="table-scroll"><table>')
    assert '<td class="align-center">2</td>' in html
    assert '<td class="align-right">3</td>' in html
    assert "style=" not in html


def test_link_opens_in_a_new_tab_and_tells_nobody_where_it_came_from() -> None:
    html = render('[a](https://x.test/?q=1&b=2 "title")')
    (_, attributes), *_ = [element for element in _Reader(html).elements if element[0] == "a"]
    assert attributes == {
        "href": "https://x.test/?q=1&b=2",
        "title": "title",
        "target": "_blank",
        "rel": "noopener noreferrer nofollow",
    }


def test_bare_address_is_not_linked() -> None:
    assert "<a" not in render("see www.x.test and https://x.test")


def test_image_becomes_a_link() -> None:
    html = render("![a *cat*](https://x.test/cat.png)")
    assert "<img" not in html
    assert 'href="https://x.test/cat.png"' in html
    assert ">a cat</a>" in html


def test_image_without_words_shows_its_address() -> None:
    assert ">https://x.test/cat.png</a>" in render("![](https://x.test/cat.png)")


def test_image_inside_a_link_leaves_one_link() -> None:
    html = render("[![cat](https://x.test/cat.png)](https://y.test) ![dog](https://x.test/dog.png)")
    assert [attributes["href"] for tag, attributes in _Reader(html).elements if tag == "a"] == [
        "https://y.test",
        "https://x.test/dog.png",
    ]


def test_unfinished_markdown_is_still_shown() -> None:
    assert "half" in render("```\nhalf of a block")
    assert "half" in render("**half")


def test_half_an_emoji_does_not_fail() -> None:
    assert render("a \ud83d b") == "<p>a ? b</p>\n"


def test_very_long_text_is_shown_as_written() -> None:
    text = "# <b>\n" * (MAX_MARKDOWN_CHARS // 6 + 1)
    html = render(text)
    assert html.startswith('<div class="plain-text"># &lt;b&gt;\n# ')
    assert_harmless(html[:1000])


def test_rendering_again_costs_nothing() -> None:
    text = "**bold** and [a link](https://x.test)\n\n" * 500
    first = render(text)
    started = time.process_time()
    assert all(render(text) == first for _ in range(1000))
    assert time.process_time() - started < 1


PATHOLOGICAL = ["[", "![", "*", "*a_b", "`", ">", "- ", "<", "&a;", "|", "\\", "[a](", "**a _b ", "![[]()", "a\n", "1. a\n"]


@pytest.mark.parametrize("piece", PATHOLOGICAL)
def test_a_megabyte_of_nonsense_is_quick(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    render(text)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("piece", PATHOLOGICAL)
def test_longest_markdown_that_is_parsed_takes_linear_time(piece: str) -> None:
    text = piece * (MAX_MARKDOWN_CHARS // len(piece))
    started = time.process_time()
    render(text)
    assert time.process_time() - started < 6  # measured 0.1 to 1.5 s; something quadratic would take minutes
