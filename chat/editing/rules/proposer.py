"""Proposes what rules can do, and says plainly what they cannot."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from html import escape
from uuid import UUID

from chat.editing import changes
from chat.editing.changes import BadChange, Change
from chat.editing.document import Chunk, Document
from chat.editing.elements import HEADINGS
from chat.editing.proposing import BaseProposer, EditRequest, Progress, Proposals
from chat.editing.rules.instructions import Add, DeleteContaining, DeleteSection, Instruction, Replace, Shorten, Tidy, read
from chat.editing.rules.shortening import KEPT, shortening
from chat.editing.sections import Section, named, sections
from chat.editing.texts import Rewrite, Text, rewritten, text_of

NOTICE = "No language model is connected here, so this was done by rules."
ABLE = (
    'No language model is connected here, and rules cannot do this. They can replace a text (replace "X" with "Y"), '
    'shorten the document or a section by leaving out sentences, add a section (add a section titled "X" with the text "..."), '
    'delete a section (delete the section "X") or the paragraphs with a text (delete the paragraphs containing "X"), and remove '
    "double spaces. Connect a language model for anything else."
)
_SPACES = re.compile(r"(?<=\S) {2,}(?=\S)|(?<=\w) +(?=[,;:](?:\s|$)|[.!?](?:\s|$))")
_FEEDBACK_SHORTER = 0.4
_ITEM = re.compile(r"^[ \t]*(?:[-*\u2022]|\d{1,3}[.)])[ \t]+(.*)$")


class RulesProposer(BaseProposer):
    """Follows the instructions that `instructions.read` understands."""

    async def propose(self, request: EditRequest) -> AsyncGenerator[Progress | Proposals, None]:
        """See `BaseProposer.propose`. It works in a thread: a large document takes seconds, and others share the loop."""
        yield Progress("Reading the document...")
        # Cutting and parsing are kept by the document, so that this is the one long part.
        await asyncio.to_thread(lambda: request.document.root)
        yield Progress("Looking for what to change...")
        yield await asyncio.to_thread(proposals, request)


def proposals(request: EditRequest) -> Proposals:
    """The whole answer to a request."""
    if request.denied:
        return _again(request)
    instruction = read(request.message)
    if instruction is None:
        return Proposals((), ABLE)
    return _answer(*_carried_out(request.document, instruction))


def _answer(found: list[Change], said: str) -> Proposals:
    return Proposals(changes.batch(found) if found else (), f"{NOTICE} {said}")


def _again(request: EditRequest) -> Proposals:
    """New proposals for what was denied: its feedback is an instruction for that chunk alone."""
    found: list[Change] = []
    said: list[str] = []
    for denied in request.denied:
        if not denied.feedback.strip():
            continue
        chunk = _chunk_of(request.document, denied.change)
        instruction = read(denied.feedback)
        if isinstance(instruction, Shorten) and not instruction.section:
            made, words = _shorten(request.document, [chunk] if chunk else [], kept=_FEEDBACK_SHORTER)
        elif isinstance(instruction, Replace) and not instruction.section and chunk:
            made, words = _replace(request.document, [chunk], instruction)
        elif instruction is not None:
            made, words = _carried_out(request.document, instruction)
        else:
            made, words = [], f"The feedback \u201c{_short(denied.feedback)}\u201d is not something that rules can follow."
        found += made
        said.append(words)
    if not said:
        return Proposals((), ABLE)
    return _answer(_once_each(found), " ".join(dict.fromkeys(said)))


def _once_each(found: Iterable[Change]) -> list[Change]:
    """The last change of each chunk: two of one chunk cannot both be made."""
    kept: dict[str, Change] = {}
    for change in found:
        kept[change.chunk_id or change.change_id] = change
    return list(kept.values())


def _carried_out(document: Document, instruction: Instruction) -> tuple[list[Change], str]:
    """The changes, and what was done in words."""
    match instruction:
        case Replace(section=name) | Shorten(section=name):
            where = _where(document, name)
            if where is None:
                return [], _no_section(document, name)
            if isinstance(instruction, Replace):
                return _replace(document, where, instruction)
            return _shorten(document, where, kept=KEPT)
        case DeleteSection(name):
            return _delete_section(document, name)
        case DeleteContaining(text):
            return _delete_containing(document, text)
        case Add():
            return _add(document, instruction)
        case Tidy():
            return _tidy(document)


def _where(document: Document, name: str) -> list[Chunk] | None:
    """The chunks of the section of that name (empty: all), None when there is none."""
    if not name:
        return list(document.chunks)
    found = named(document, name)
    return list(found[0].chunks) if found else None


def _rewrite(
    document: Document, where: Iterable[Chunk], rewrites: Callable[[Text], list[Rewrite]], why: Callable[[int], str]
) -> tuple[list[Change], int, int]:
    """The changes, how many places they concern, and how many more there are in what cannot be changed."""
    found: list[Change] = []
    places = left = 0
    for chunk in where:
        html = document.html_of(chunk)
        text = text_of(html)
        wanted = rewrites(text)
        if not wanted:
            continue
        new = rewritten(html, text, wanted)
        try:
            change = changes.edit(document, chunk, new, why(len(wanted)))
        except BadChange:
            # Nothing would be left of it, or it is too large to be proposed.
            left += len(wanted)
            continue
        if change.new_html != html:
            found.append(change)
            places += len(wanted)
    return found[: changes.MOST_CHANGES], places, left


def _replace(document: Document, where: Iterable[Chunk], wanted: Replace) -> tuple[list[Change], str]:
    pattern = _pattern(wanted.old)

    def rewrites(text: Text) -> list[Rewrite]:
        return [
            Rewrite(match.start(), match.end(), new)
            for match in pattern.finditer(text.characters)
            if (new := _in_case(match[0], wanted)) != match[0]
        ]

    old, new = _short(wanted.old), _short(wanted.new)
    found, places, left = _rewrite(
        document,
        where,
        rewrites,
        lambda number: f"Replaced {_times(number, 'occurrence')} of \u201c{old}\u201d with \u201c{new}\u201d.",
    )
    if not found:
        return (
            [],
            f"\u201c{old}\u201d does not occur in text that can be changed (attributes, scripts and controls cannot).",
        )
    rest = f" {_times(left, 'more occurrence')} cannot be changed by itself." if left else ""
    return (
        found,
        f"{_times(places, 'occurrence')} of \u201c{old}\u201d replaced with \u201c{new}\u201d.{rest}",
    )


def _pattern(old: str) -> re.Pattern[str]:
    """Any capitals and any white space; whole words where it begins or ends with a letter."""
    words = r"\s+".join(re.escape(word) for word in old.split())
    before = r"(?<!\w)" if re.match(r"\w", old) else ""
    after = r"(?!\w)" if re.search(r"\w$", old) else ""
    return re.compile(f"{before}{words}{after}", re.IGNORECASE)


def _in_case(found: str, wanted: Replace) -> str:
    """The new text, in capitals as the found one is, when that is written otherwise than asked."""
    new = wanted.new
    if " ".join(found.split()) == " ".join(wanted.old.split()):
        return new
    if found.isupper() and len(found) > 1:
        return new.upper()
    if found.islower():
        return new if wanted.old.islower() else new.lower()
    if found[:1].isupper() and wanted.old[:1].islower():
        return new[:1].upper() + new[1:]
    return new


def _shorten(document: Document, where: Iterable[Chunk], *, kept: float) -> tuple[list[Change], str]:
    chosen = [chunk for chunk in where if chunk.tag not in HEADINGS and chunk.tag not in ("pre", "tr", "figure")]
    found, places, _ = _rewrite(
        document,
        chosen,
        lambda text: shortening(text, kept=kept),
        lambda number: f"Left out {_times(number, 'sentence')} that say{'s' if number == 1 else ''} the least about the rest.",
    )
    if not found:
        return [], "There is no paragraph of three or more sentences there, so no sentence could be left out."
    return found, f"{_times(places, 'sentence')} left out of {_times(len(found), 'paragraph')}; no sentence was written anew."


def _tidy(document: Document) -> tuple[list[Change], str]:
    chosen = [chunk for chunk in document.chunks if chunk.tag != "pre" and "<pre" not in document.html_of(chunk).lower()]

    def rewrites(text: Text) -> list[Rewrite]:
        return [
            Rewrite(match.start(), match.end(), " " if text.characters[match.end() : match.end() + 1] not in ",;:.!?" else "")
            for match in _SPACES.finditer(text.characters)
        ]

    found, places, _ = _rewrite(document, chosen, rewrites, lambda number: f"Removed spaces in {_times(number, 'place')}.")
    return (found, f"Spaces removed in {_times(places, 'place')}.") if found else ([], "There are no double spaces to remove.")


def _delete_section(document: Document, name: str) -> tuple[list[Change], str]:
    matching = named(document, name)
    if not matching:
        return [], _no_section(document, name)
    if len(matching) > 1:
        titles = ", ".join(f"\u201c{_short(each.title)}\u201d" for each in matching[:5])
        return [], f"{len(matching)} sections match \u201c{_short(name)}\u201d: {titles}. Say which one, by its whole title."
    section = matching[0]
    if len(section.chunks) > changes.MOST_CHANGES:
        return (
            [],
            f"The section \u201c{_short(section.title)}\u201d has more than {changes.MOST_CHANGES} parts. Delete smaller ones.",
        )
    why = f"Part of the section \u201c{_short(section.title)}\u201d, which is to be deleted."
    return [
        changes.delete(document, chunk, why) for chunk in section.chunks
    ], f"Section \u201c{_short(section.title)}\u201d deleted."


def _delete_containing(document: Document, text: str) -> tuple[list[Change], str]:
    pattern = _pattern(text)
    chosen = [chunk for chunk in document.chunks if pattern.search(text_of(document.html_of(chunk)).characters)]
    why = f"Contains \u201c{_short(text)}\u201d."
    if not chosen:
        return [], f"No paragraph contains \u201c{_short(text)}\u201d."
    chosen = chosen[: changes.MOST_CHANGES]
    return [changes.delete(document, chunk, why) for chunk in chosen], f"{_times(len(chosen), 'paragraph')} deleted."


def _add(document: Document, wanted: Add) -> tuple[list[Change], str]:
    around = sections(document)
    if wanted.anchor:
        matching = named(document, wanted.anchor)
        if not matching:
            return [], _no_section(document, wanted.anchor)
        anchor = matching[0]
        after = anchor.chunks[-1] if wanted.side in ("after", "end") else _before(document, anchor)
        level = anchor.level
    else:
        main = [each.chunks[-1] for each in around]
        last = max(main, key=lambda chunk: chunk.start) if main else (document.chunks[-1] if document.chunks else None)
        after = last if wanted.side in ("end", "after") else None
        level = _usual_level(around)
    html = _section_html(wanted, level)
    what = f"section \u201c{_short(wanted.title)}\u201d" if wanted.title else "paragraph"
    try:
        change = changes.create(document, after, html, f"Added the {what} as asked.")
    except BadChange as error:
        return [], f"The {what} could not be added: {error.message}"
    rest = "" if wanted.body else " It has a title and no text: rules cannot write one."
    return [change], f"A {what} added.{rest}"


def _before(document: Document, section: Section) -> Chunk | None:
    position = document.positions[section.heading.id]
    return document.chunks[position - 1] if position else None


def _usual_level(around: list[Section]) -> int:
    """The level of most sections, not counting a title at the top."""
    levels = [each.level for each in around if each.level > 1]
    return max(set(levels), key=lambda level: (levels.count(level), -level)) if levels else 2


def _section_html(wanted: Add, level: int) -> str:
    blocks = [f"<h{level}>{escape(wanted.title, quote=False)}</h{level}>"] if wanted.title else []
    for part in re.split(r"\n\s*\n", wanted.body.strip()):
        lines = [line for line in part.splitlines() if line.strip()]
        items = [_ITEM.match(line) for line in lines]
        if lines and all(items):
            listed = "\n".join(f"<li>{escape(item[1].strip(), quote=False)}</li>" for item in items if item)
            blocks.append(f"<ul>\n{listed}\n</ul>")
        elif lines:
            text = "<br>\n".join(escape(line.strip(), quote=False) for line in lines)
            blocks.append(f"<p>{text}</p>")
    return "\n".join(blocks)


def _no_section(document: Document, name: str) -> str:
    titles = [_short(each.title) for each in sections(document)][:10]
    there = f" There are: {', '.join(titles)}." if titles else " The document has no headings."
    return f"There is no section \u201c{_short(name)}\u201d.{there}"


def _chunk_of(document: Document, change: Change) -> Chunk | None:
    return document.chunk(UUID(change.chunk_id)) if change.chunk_id else None


def _times(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:80]}\u2026"
