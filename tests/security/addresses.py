"""Every address of the server, found by walking Django's URL table and that of the sockets; nothing is listed by hand."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from realtime_project.routing import websocket_urlpatterns

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_NAMED = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")
_GROUP = re.compile(r"\(\?P<([a-z_]+)>([^()]*)\)")


@dataclass(frozen=True)
class Address:
    """One pattern, written as in `urls.py` with the prefixes of what includes it, and the view behind it."""

    pattern: str
    view: Any

    @property
    def names(self) -> list[str]:
        """Names of what is to be filled in: mostly ids."""
        return _NAMED.findall(self.pattern)

    @property
    def methods(self) -> set[str] | None:
        """The methods that the view itself says it has; None for a plain function, which may look at any."""
        if hasattr(self.view, "stream_methods"):
            return set(self.view.stream_methods) & set(METHODS)
        kind = getattr(self.view, "cls", None)
        return {method for method in METHODS if hasattr(kind, method.lower())} if kind else None

    def path(self, **ids: object) -> str:
        """The path with everything filled in; what is not given is `1`."""
        filled = _GROUP.sub(lambda found: found[2].split("|")[0].replace(".*", "x"), self.pattern)
        filled = filled.replace("^", "").replace("$", "")
        return "/" + _NAMED.sub(lambda found: str(ids.get(found[1], 1)), filled)


def addresses() -> list[Address]:
    """All of them, in their order."""
    return list(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[Address]:
    for each in patterns:
        pattern = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _walk(each.url_patterns, pattern)
        else:
            yield Address(pattern, each.callback)


def of_the_admin() -> list[Address]:
    """Those below `/admin/`."""
    return [each for each in addresses() if each.pattern.startswith("admin/")]


def of_the_product() -> list[Address]:
    """All others."""
    return [each for each in addresses() if not each.pattern.startswith("admin/")]


def sockets() -> list[str]:
    """The patterns of the sockets, but the last, which answers every other address with a refusal."""
    return [str(each.pattern) for each in websocket_urlpatterns[:-1]]
