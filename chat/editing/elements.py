"""What HTML's elements are: which close which, and what may stand where. From sections 13.1 and 13.2 of the standard."""

HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
VOID = frozenset({
    "area", "base", "basefont", "bgsound", "br", "col", "embed", "frame", "hr", "image", "img", "input", "keygen", "link", "meta",
    "param", "source", "track", "wbr",
})  # fmt: skip
CLOSES_P = HEADINGS | {
    "address", "article", "aside", "blockquote", "center", "dd", "details", "dialog", "dir", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "li", "listing", "main", "menu", "nav", "ol", "p",
    "plaintext", "pre", "search", "section", "summary", "table", "ul", "xmp",
}  # fmt: skip
SCOPE = frozenset({"applet", "caption", "html", "table", "td", "th", "marquee", "object", "template", "svg", "math"})
"""Nothing outside of these is closed by what is inside."""
TABLE_SCOPE = frozenset({"html", "table", "template"})
SPECIAL = SCOPE | CLOSES_P | VOID - {"image"} | {
    "body", "button", "colgroup", "frameset", "head", "iframe", "noembed", "noframes", "noscript", "script", "select", "style",
    "tbody", "textarea", "tfoot", "thead", "title", "tr",
}  # fmt: skip
LIST_STOPS = SPECIAL - {"address", "div", "p"}
"""A new list item does not close an older one beyond these."""
TABLE_PARTS = frozenset({"caption", "col", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr"})
SECTIONS = frozenset({"tbody", "thead", "tfoot"})
HEAD_TAGS = frozenset({
    "base", "basefont", "bgsound", "link", "meta", "noframes", "noscript", "script", "style", "template", "title",
})  # fmt: skip
BREAKOUTS = HEADINGS | {
    "b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed", "head", "hr", "i", "img",
    "li", "listing", "menu", "meta", "nobr", "ol", "p", "pre", "ruby", "s", "small", "span", "strike", "strong", "sub", "sup",
    "table", "tt", "u", "ul", "var",
}  # fmt: skip
"""These end svg and math."""
INTEGRATION = frozenset({"annotation-xml", "desc", "foreignobject", "mi", "mn", "mo", "ms", "mtext", "title"})
"""Inside these, within svg or math, HTML's rules hold again."""

INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "br", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins",
    "kbd", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u",
    "var", "wbr",
})  # fmt: skip
"""What runs with the text."""
ITEMS = {"li": frozenset({"li"}), "dt": frozenset({"dt", "dd"}), "dd": frozenset({"dt", "dd"}), "tr": frozenset({"tr"})}
"""What only stands in a list or a table, and what may stand in its place."""
ITEM_PARENTS = {
    "ul": "li", "ol": "li", "menu": "li", "dir": "li", "dl": "dt", "table": "tr", "tbody": "tr", "thead": "tr", "tfoot": "tr",
}  # fmt: skip
"""What takes items only, and of which kind."""
FLOW_PARENTS = frozenset({
    "#root", "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "html", "li", "main", "nav", "search", "section",
    "td", "th",
})  # fmt: skip
"""What takes whole blocks."""
PHRASING_PARENTS = HEADINGS | {"dt", "legend", "listing", "p", "pre", "summary"}
"""What takes text and what runs with it, and no blocks."""
PARTS = frozenset(
    {"caption", "figcaption", "legend", "summary", "td", "th", "tbody", "thead", "tfoot", "colgroup", "col", "rp", "rt"}
)
"""What has its one place inside another element, and is never put anywhere by itself."""
OPAQUE = frozenset({
    "applet", "audio", "button", "canvas", "colgroup", "datalist", "embed", "frameset", "head", "iframe", "map", "math", "meter",
    "noembed", "noframes", "noscript", "object", "optgroup", "option", "picture", "plaintext", "progress", "script", "select",
    "style", "svg", "template", "textarea", "title", "video", "xmp",
})  # fmt: skip
"""What is never looked into: scripts, controls, pictures."""
