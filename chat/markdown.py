"""An answer's Markdown, turned into HTML that is safe to put into a page.

Two steps, each enough by itself against the usual attacks: markdown-it-py with raw HTML
switched off, then nh3 (ammonia) with a short list of allowed elements.
"""

import html
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

MAX_MARKDOWN_CHARS = 100_000
"""Longest text that is parsed as Markdown, in characters; a longer one is shown as it was written."""

REMEMBERED_TEXTS, REMEMBERED_CHARS = 256, 20_000
"""How many rendered texts a process remembers, and how long they may be: some 20 MB at the very most."""

MAX_NESTING = 20
"""How deep quotes, lists and emphasis may nest (markdown-it's own limit; CommonMark sets none)."""

LINK_SCHEMES = frozenset({"http", "https", "mailto"})
# fmt: off
TAGS = frozenset({
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "div", "ol", "ul", "li",
    "table", "thead", "tbody", "tr", "th", "td", "a", "code", "em", "strong", "s", "del",
})
# fmt: on
ATTRIBUTES = {
    "a": {"href", "title", "target"},
    "code": {"class"},
    "div": {"class"},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
}
_ALIGNMENT_CLASSES = {
    "text-align:left": "align-left",
    "text-align:center": "align-center",
    "text-align:right": "align-right",
}
_OWN_CLASSES = frozenset({"table-scroll", "plain-text", *_ALIGNMENT_CLASSES.values()})


class _AnswerRenderer(RendererHTML):
    """Renders tokens with the few differences that a chat page needs."""

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A link in place of the image: an address in an answer must not make the reader's browser fetch anything."""
        token = tokens[idx]
        address = str(token.attrGet("src") or "")
        words = self.renderInlineAsText(token.children, options, env) or address or "image"
        if _is_inside_link(tokens, idx) or not is_web_address(address):  # links do not nest
            return html.escape(words)
        return f'<a href="{html.escape(address)}" target="_blank">{html.escape(words)}</a>'

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Links leave the page alone: they open in a new tab."""
        tokens[idx].attrSet("target", "_blank")
        return self.renderToken(tokens, idx, options, env)

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A wide table scrolls inside its own box instead of widening the page."""
        return '<div class="table-scroll">' + self.renderToken(tokens, idx, options, env)

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """The end of `table_open`'s box."""
        return self.renderToken(tokens, idx, options, env) + "</div>"

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Alignment as a class: a strict Content-Security-Policy forbids style attributes."""
        return self._cell(tokens, idx, options, env)

    def td_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """As `th_open`."""
        return self._cell(tokens, idx, options, env)

    def _cell(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        style = str(tokens[idx].attrs.pop("style", ""))
        if style in _ALIGNMENT_CLASSES:
            tokens[idx].attrSet("class", _ALIGNMENT_CLASSES[style])
        return self.renderToken(tokens, idx, options, env)


def _is_inside_link(tokens: Sequence[Token], idx: int) -> bool:
    for token in reversed(tokens[:idx]):
        if token.type in {"link_open", "link_close"}:
            return token.type == "link_open"
    return False


def is_web_address(address: str) -> bool:
    """Whether `address` is absolute and of a scheme that a link may have."""
    try:
        return urlsplit(address).scheme.lower() in LINK_SCHEMES
    except ValueError:  # such as an unfinished IPv6 host
        return False


def _filter_attribute(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "href":
        return value if is_web_address(value) else None
    if attribute == "target":
        return "_blank"
    if attribute == "class":
        is_language = tag == "code" and value.startswith("language-") and " " not in value
        return value if is_language or (tag != "code" and value in _OWN_CLASSES) else None
    return value


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt(
        "commonmark",
        {"html": False, "linkify": False, "maxNesting": MAX_NESTING},
        renderer_cls=_AnswerRenderer,
    )
    parser.enable(["table", "strikethrough"])
    return parser


_parser = _make_parser()


def _has_surrogate(text: str) -> bool:
    """Whether UTF-8 cannot say `text`: half an emoji, cut by a provider. nh3 refuses such text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def render(text: str) -> str:
    """`text` (Markdown: CommonMark, tables, strikethrough) as sanitised HTML; never fails, whatever the text.

    Raw HTML is shown as text, images become links, links are `http`, `https` or `mailto`, open in a new tab and carry
    `rel="noopener noreferrer nofollow"`. Text longer than `MAX_MARKDOWN_CHARS` is returned as it was written, escaped.
    """
    text = text.encode("utf-8", "replace").decode() if _has_surrogate(text) else text
    if len(text) > MAX_MARKDOWN_CHARS:
        # Parsing 100,000 unfinished brackets takes 1.5 s, and no one reads a megabyte as headings and lists.
        return f'<div class="plain-text">{html.escape(text)}</div>'
    return _remembered(text) if len(text) <= REMEMBERED_CHARS else _sanitised(text)


def _sanitised(text: str) -> str:
    return nh3.clean(
        _parser.render(text),
        tags=set(TAGS),
        attributes=ATTRIBUTES,
        attribute_filter=_filter_attribute,
        link_rel="noopener noreferrer nofollow",
        url_schemes=set(LINK_SCHEMES),
    )


@lru_cache(maxsize=REMEMBERED_TEXTS)
def _remembered(text: str) -> str:
    """A page of a conversation is asked for after each of its answers, and most of its texts are the same again: 3 ms each."""
    return _sanitised(text)
