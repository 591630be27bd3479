"""The words of one notification: those of its rule's templates, or, where they fail, plain ones."""

from dataclasses import dataclass
from typing import Any

from notifications.conf import conf
from notifications.models import LONGEST_TITLE, LONGEST_URL, Rule
from notifications.services import leads_somewhere
from notifications.templates import TemplateFailed, fill


@dataclass(frozen=True, slots=True)
class Words:
    """What people read, and where it leads."""

    title: str
    body: str = ""
    action_url: str = ""


def words_for(rule: Rule, values: dict[str, Any]) -> tuple[Words, str]:
    """The words for an event, and why the templates failed (empty: they did not)."""
    try:
        # One line: it is the subject of a mail, too.
        title = " ".join(fill(rule.title, values, what="title", longest=LONGEST_TITLE).split())
        body = fill(rule.body, values, what="body", longest=conf.NOTIFICATIONS_BODY_MAX_CHARS)
        url = fill(rule.action_url, values, what="action_url", longest=LONGEST_URL)
    except TemplateFailed as error:
        return Words(""), str(error)
    if not title:
        return Words(""), "title: it is empty for an event."
    if url and not leads_somewhere(url):
        return Words(""), f"action_url: {url[:100]!r} is no path of this server and no http(s) address."
    return Words(title, body, url), ""


def plain_words(rule: Rule, topic: str) -> Words:
    """Words that need no template."""
    return Words(rule.name[:LONGEST_TITLE], f"An event on {topic}"[: conf.NOTIFICATIONS_BODY_MAX_CHARS])
