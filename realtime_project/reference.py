"""The reference of the settings, written from where they are declared."""

import ast
import inspect
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from accounts.conf import AppSettings
from realtime_project.settings import APP_SETTINGS

HEAD = """# Settings

Every setting is an environment variable of the same name; a file `.env` beside `manage.py` works as well, and the
environment wins over it. Lists are written with commas. Written by `manage.py write_reference` from each app's `conf.py`:
change it there.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as its class declares it."""

    name: str
    kind: str
    default: str
    meaning: str


def settings_of(declared: type[AppSettings]) -> list[Setting]:
    """The settings of a class in their order: an annotated assignment, and the string below it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(declared))).body[0]
    assert isinstance(body, ast.ClassDef)  # noqa: S101
    found = []
    for statement, following in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.target.id.isupper():
            found.append(
                Setting(
                    statement.target.id,
                    ast.unparse(statement.annotation),
                    _shown(declared.__dict__[statement.target.id], computed=isinstance(statement.value, ast.Call | ast.BoolOp)),
                    _docstring(following),
                )
            )
    return found


def settings_page(classes: Sequence[type[AppSettings]] = APP_SETTINGS) -> str:
    """The page `docs/reference/settings.md`: a table for each app."""
    parts = [HEAD]
    for declared in classes:
        app = declared.__module__.split(".", maxsplit=1)[0]
        parts.append(f"\n## {app}\n\n| name | type | default | meaning |\n|---|---|---|---|\n")
        parts.extend(f"| `{each.name}` | {each.kind} | {each.default} | {each.meaning} |\n" for each in settings_of(declared))
    return "".join(parts)


def _shown(default: object, *, computed: bool) -> str:
    if computed:
        return "(not set)"
    if isinstance(default, list):
        return f"`{','.join(map(str, default))}`" if default else "(empty)"
    return f"`{default}`" if default != "" else "(empty)"


def _docstring(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str):
        return " ".join(statement.value.value.split()).replace("|", "\\|")
    return ""
