"""The documentation says what the code does: every name that a client or operator meets is explained, and no other."""

import ast
import importlib
import os
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from events.event import EVENT_TYPES
from events.exceptions import ThroughlineError
from realtime_project.reference import settings_of, settings_page
from realtime_project.serving.banner import curl_example
from realtime_project.settings import APP_SETTINGS

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = ROOT / "docs" / "reference"
PACKAGES = ("accounts", "events", "chat", "workspaces", "realtime_project")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def first_cells(page, heading=""):
    """The code names in the first column of a page's tables, from a heading to the next of its level."""
    text = (REFERENCE / page).read_text()
    if heading:
        text = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `?([^`|]+?)`? \|", text, re.MULTILINE)) - {"name", "code", "type"}


def modules():
    for package in PACKAGES:
        for found in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if ".migrations" not in found.name and found.name not in ("realtime_project.asgi", "realtime_project.settings"):
                yield importlib.import_module(found.name)


def error_classes():
    list(modules())
    found, todo = set(), [ThroughlineError]
    while todo:
        each = todo.pop()
        found.add(each)
        todo.extend(each.__subclasses__())
    return found


def committed_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def test_the_settings_page_is_what_the_code_declares():
    assert (REFERENCE / "settings.md").read_text() == settings_page(), "run: manage.py write_reference"


@pytest.mark.parametrize(
    "setting", [each for declared in APP_SETTINGS for each in settings_of(declared)], ids=lambda each: each.name
)
def test_every_setting_has_a_type_and_a_meaning(setting):
    assert setting.kind
    assert setting.meaning.endswith((".", ")"))


def test_no_page_names_a_setting_that_does_not_exist():
    known = {each.name for declared in APP_SETTINGS for each in settings_of(declared)} | {"CHAT_ENGINES"}
    prefixes = tuple({name.split("_")[0] + "_" for name in known if "_" in name})
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        for name in re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", page.read_text()):
            assert name in known or not name.startswith(prefixes), f"{page.relative_to(ROOT)} names {name}"


def test_every_event_type_is_documented_and_no_other():
    list(modules())
    assert first_cells("events.md", "Canonical types") == set(EVENT_TYPES)


def test_every_error_code_is_documented_with_its_status():
    text = (REFERENCE / "errors.md").read_text()
    for error in error_classes():
        row = re.search(rf"^\| `{error.code}` \| (\d+) \| (\d+) \|", text, re.MULTILINE)
        assert row, f"{error.code} is not in errors.md"
        assert (int(row[1]), int(row[2])) == (error.http_status, error.close_code), error.code
    assert first_cells("errors.md", "Codes of requests") >= {error.code for error in error_classes()}


def raised_codes():
    """The codes of failed answers: first arguments of `EngineError(...)`, second of `Ending(..., code, ...)`."""
    for path in (ROOT / "chat").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            position = {"EngineError": 0, "Ending": 1}.get(node.func.id)
            if position is not None and len(node.args) > position and isinstance(node.args[position], ast.Constant):
                yield node.args[position].value


def test_every_code_of_a_failed_answer_is_documented_and_no_other():
    assert first_cells("errors.md", "Codes of failed answers") == set(raised_codes())


def test_every_close_code_is_documented():
    assert {str(error.close_code) for error in error_classes()} <= first_cells("close-codes.md")


def test_every_metric_is_documented_and_no_other():
    list(modules())
    metrics = {metric.name + ("_total" if metric.type == "counter" else "") for metric in REGISTRY.collect()}
    assert first_cells("metrics.md") == {name for name in metrics if name.startswith("throughline_")}


def test_every_command_is_documented_and_no_other():
    ours = {path.stem for path in ROOT.glob("*/management/commands/*.py") if path.stem not in ("__init__", "procrastinate")}
    documented = set(re.findall(r"^## `manage\.py ([a-z_]+)", (REFERENCE / "commands.md").read_text(), re.MULTILINE))
    assert documented - {"procrastinate"} == ours


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.relative_to(ROOT)} links to {target}"
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.relative_to(ROOT)} links to {target}"


def test_every_page_can_be_reached_from_the_index():
    reached, todo = set(), [ROOT / "docs" / "index.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        targets = re.findall(r"\]\(([^):\s]+)\)", page.read_text())
        todo += [(page.parent / target.partition("#")[0]).resolve() for target in targets]
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= reached


def test_the_readme_and_the_tutorial_have_the_example_that_the_server_prints():
    for page in (ROOT / "README.md", ROOT / "docs" / "tutorial" / "first-answer.md"):
        text = page.read_text()
        for command in curl_example("http://127.0.0.1:8000"):
            assert command in text, page.name


def test_no_committed_file_names_a_package_index_or_a_path_of_a_machine():
    # Put together here, so that this file itself does not hold them.
    forbidden = ["pypi." + "org", "files.pytho" + "nhosted", "--index" + "-url", "--extra-index" + "-url", "../" + "shared"]
    paths = re.compile("(?<![\\w/.])/(?:home|root|Users|work" + ")/[a-z]")
    for file in committed_files():
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        for word in forbidden:
            assert word not in text, f"{file.relative_to(ROOT)} names {word}"
        found = paths.search(text)
        assert found is None, f"{file.relative_to(ROOT)} names {found.group()!r}"


def test_locks_pin_every_package():
    for lock in (ROOT / "requirements").glob("*.lock"):
        for line in lock.read_text().splitlines():
            assert re.match(r"[A-Za-z0-9_.\-]+==[^\s;]+( ; .+)?$", line), f"{lock.name}: {line}"


def test_commands_that_people_type_are_executable():
    for name in (".ci/run", ".ci/test", "requirements/install", "manage.py"):
        assert os.access(ROOT / name, os.X_OK), name
