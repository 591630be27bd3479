"""Which kinds of document are taken, told by name and by content. No I/O."""

from pathlib import PurePath

KINDS = {
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "csv": "text/csv",
}
"""The kinds, each with its media type."""

_EXTENSIONS = {
    "txt": "txt", "text": "txt", "log": "txt", "md": "md", "markdown": "md", "html": "html", "htm": "html", "xhtml": "html",
    "pdf": "pdf", "docx": "docx", "csv": "csv", "tsv": "csv",
}  # fmt: skip
TAKEN = "Accepted are txt, md, html, pdf, docx and csv."
_HTML = (b"<!doctype html", b"<html")
_SIGNATURES = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file (doc, xls, ppt). Save it as docx, or export it as PDF."),
    (b"{\\rtf", "an RTF file. Save it as docx, or export it as PDF."),
    (b"\x89PNG", "a picture. Only text can be taken: run it through a text recognition (OCR) first."),
    (b"\xff\xd8\xff", "a picture. Only text can be taken: run it through a text recognition (OCR) first."),
    (b"\x1f\x8b", "a compressed file. Unpack it and send what is in it."),
    (b"7z\xbc\xaf", "a compressed file. Unpack it and send what is in it."),
    (b"Rar!", "a compressed file. Unpack it and send what is in it."),
    (b"\x7fELF", "a program. " + TAKEN),
    (b"MZ\x90", "a program. " + TAKEN),
)


class WrongKind(Exception):
    """The file is of no kind that is taken. The message says what to do."""


def kind_of_name(name: str) -> str | None:
    """The kind that a file name's ending promises; None without an ending. Raises `WrongKind` for other endings."""
    extension = PurePath(name).suffix.lower().lstrip(".")
    if not extension:
        return None
    if extension not in _EXTENSIONS:
        raise WrongKind(f"Files called .{extension[:20]} cannot be taken. {TAKEN}")
    return _EXTENSIONS[extension]


def kind_of_content(head: bytes, *, name: str) -> str:
    """The kind of a file that begins with `head`; what the bytes say goes before the name's ending. Raises `WrongKind`."""
    named = kind_of_name(name)
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        if named == "docx":
            return "docx"
        raise WrongKind(f"This is an archive, or an Office file of another kind. {TAKEN}")
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            raise WrongKind(f"This is {what}")
    if named in {"pdf", "docx"}:
        raise WrongKind(f"The file is called .{named} but is none: its first bytes are others. Export it again.")
    if named in {None, "txt"} and head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML):
        return "html"
    return named or "txt"
