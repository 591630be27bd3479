"""What proposed HTML may hold. No I/O.

nh3 (ammonia, on the parser of Servo) decides; nothing here has an opinion of its own. The same decision cuts documents:
what would be refused is never part of a chunk, so that editing a chunk cannot take anything from the document.
"""

import re
from functools import lru_cache
from html import unescape

import nh3

from chat.editing.elements import HEADINGS, INLINE, TABLE_PARTS
from chat.editing.tokens import SPACE, Tokenizer, attributes
from chat.editing.tree import COMMENT, parse

TAGS = INLINE | HEADINGS | TABLE_PARTS | {
    "address", "article", "aside", "blockquote", "center", "dd", "details", "dir", "div", "dl", "dt", "figcaption", "figure",
    "footer", "header", "hgroup", "hr", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "ul",
}  # fmt: skip
_SIZES = {"align", "valign", "width", "height", "bgcolor"}
ATTRIBUTES: dict[str, set[str]] = {
    "*": {"class", "dir", "id", "lang", "role", "style", "title", "align"},
    "a": {"download", "href", "hreflang", "name", "rel", "target"},
    "blockquote": {"cite"},
    "col": {"span", *_SIZES},
    "colgroup": {"span", *_SIZES},
    "data": {"value"},
    "del": {"cite", "datetime"},
    "details": {"open"},
    "font": {"color", "face", "size"},
    "hr": {"noshade", "size", "width"},
    "img": {"alt", "border", "decoding", "height", "loading", "src", "width"},
    "ins": {"cite", "datetime"},
    "li": {"type", "value"},
    "ol": {"reversed", "start", "type"},
    "q": {"cite"},
    "table": {"border", "cellpadding", "cellspacing", "frame", "rules", "summary", *_SIZES},
    "td": {"abbr", "colspan", "headers", "nowrap", "rowspan", "scope", *_SIZES},
    "th": {"abbr", "colspan", "headers", "nowrap", "rowspan", "scope", *_SIZES},
    "time": {"datetime"},
    "tr": _SIZES,
    "ul": {"type"},
}
# Looks, but nothing that could fetch an address or cover the page.
STYLES = {
    "background-color", "border", "border-bottom", "border-collapse", "border-color", "border-left", "border-radius",
    "border-right", "border-spacing", "border-style", "border-top", "border-width", "clear", "color", "direction", "display",
    "float", "font", "font-family", "font-size", "font-style", "font-variant", "font-weight", "height", "letter-spacing",
    "line-height", "list-style-type", "margin", "margin-bottom", "margin-left", "margin-right", "margin-top", "max-width",
    "min-width", "padding", "padding-bottom", "padding-left", "padding-right", "padding-top", "page-break-after",
    "page-break-before", "page-break-inside", "text-align", "text-decoration", "text-indent", "text-transform",
    "vertical-align", "white-space", "width", "word-spacing",
}  # fmt: skip
SCHEMES = {"http", "https", "mailto", "tel", "data"}
# Allowed whatever their value: spares asking nh3 of thousands of tags.
_UNREAD = ATTRIBUTES["*"] - {"style"}
_PICTURE = re.compile(r"\s*data:image/(?:png|jpe?g|gif|webp|avif);base64,", re.IGNORECASE | re.ASCII)
_DATA = re.compile(r"\s*data:", re.IGNORECASE | re.ASCII)
_CONTEXTS = {
    "tr": "<table><tbody>",
    **dict.fromkeys(("td", "th"), "<table><tbody><tr>"),
    **dict.fromkeys(("caption", "colgroup", "tbody", "tfoot", "thead"), "<table>"),
    "col": "<table><colgroup>",
}
ROWS = ("<table><tbody>", "</tbody></table>")


class Unsuitable(ValueError):
    """HTML that cannot stand where it is to stand; the message says why, for whoever proposed it."""


def _value(tag: str, name: str, value: str) -> str | None:
    """Data addresses only for pictures made of dots: an SVG or a page can hold scripts."""
    if not _DATA.match(value) or (tag == "img" and name == "src" and _PICTURE.match(value)):
        return value
    return None if name in ("href", "src", "cite") else value


_CLEANER = nh3.Cleaner(
    tags=set(TAGS),
    clean_content_tags={"script", "style"},
    attributes=ATTRIBUTES,
    attribute_filter=_value,
    strip_comments=False,
    link_rel=None,
    generic_attribute_prefixes={"data-", "aria-"},
    url_schemes=SCHEMES,
    filter_style_properties=STYLES,
)


def sanitised(html: str, *, rows: bool = False) -> str:
    """The HTML without what is not allowed (scripts, event handlers, `javascript:`, frames, forms, ...).

    Character for character as it was given when nothing had to go, else written anew. `rows`: it is to be
    rows of a table; raises `Unsuitable` when it is anything else.
    """
    clean = _clean_rows(html) if rows else _CLEANER.clean(html)
    # Every character of `html` is in one of the tokens compared, so nothing that nh3 took away can hide in it.
    return html if _signature(html) == _signature(clean) else clean


def _clean_rows(html: str) -> str:
    clean = _CLEANER.clean(ROWS[0] + html)
    root = parse(clean)
    tables, sections = root.children, root.children[0].children if root.children else ()
    whole = len(tables) == len(sections) == 1 and tables[0].end == len(clean) and sections[0].tag == "tbody"
    if not whole or not sections[0].children or any(each.tag not in ("tr", COMMENT) for each in sections[0].children):
        raise Unsuitable("A row of a table can only be replaced by rows: <tr>...</tr>.")
    return clean[len(ROWS[0]) : len(clean) - len(ROWS[1])]


@lru_cache(maxsize=8192)
def refused(tag: str, source: str) -> bool:
    """Whether the start tag `source` would not come through `sanitised` as it is."""
    if tag not in TAGS:
        return True
    wanted = attributes(source)
    if all(name in _UNREAD for name, _ in wanted):
        return False
    clean = _CLEANER.clean(_CONTEXTS.get(tag, "") + source)
    starts = [clean[token.start : token.end] for token in Tokenizer(clean) if token.kind == "start" and token.name == tag]
    return not starts or _meaning(wanted) != _meaning(attributes(starts[-1]))


def _signature(html: str) -> list[tuple[object, ...]]:
    """What the HTML says, whatever its quotes, capitals and entities."""
    said: list[tuple[object, ...]] = []
    for kind, start, end, name in Tokenizer(html):
        source = html[start:end]
        if kind == "text":
            said.append(("text", unescape(source).replace("\r\n", "\n").replace("\r", "\n")))
        elif kind == "start":
            said.append(("start", name, _meaning(attributes(source))))
        elif kind == "end":
            said.append(("end", name))
        else:
            said.append((kind, source))
    return said


def _meaning(pairs: list[tuple[str, str]]) -> list[tuple[str, object]]:
    return sorted((name, _style(unescape(value)) if name == "style" else unescape(value)) for name, value in pairs)


def _style(value: str) -> str:
    """Declarations without the white space and the last semicolon, which nh3 writes its own way."""
    return ";".join(":".join(part.strip(SPACE) for part in each.split(":", 1)) for each in value.split(";") if each.strip(SPACE))
