"""What a running `manage.py serve` tells the other commands on its machine.

`manage.py tail_stream` in a second terminal has to find the embedded stores without being given any
address: the server keeps them in a file in its data folder, that only its own user can read.
"""

import contextlib
import json
import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

FILE = "running.json"
DEFAULT_DATA_DIR = ".data"
PLACEHOLDER = "not-set-"


def told(name: str) -> str:
    """The value of an environment variable as a server running on DATA_DIR has it, or an empty string."""
    folder = Path(os.environ.get("DATA_DIR") or DEFAULT_DATA_DIR).expanduser()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # not there, not ours, or damaged
        return str(json.loads((folder / FILE).read_text()).get(name, ""))
    return ""


def placeholder_key() -> str:
    """A signing key of this process alone, for commands that sign nothing, where SECRET_KEY is not set."""
    return PLACEHOLDER + secrets.token_urlsafe(48)


def require_key(key: str) -> None:
    """Nothing, unless `key` is the placeholder: what signs with it would be worth nothing in the next process.

    Raises:
        ImproperlyConfigured: SECRET_KEY is not set.
    """
    if key.startswith(PLACEHOLDER):
        raise ImproperlyConfigured("SECRET_KEY is not set: set it to the same long random text for every process.")


def tell(folder: Path, values: dict[str, str]) -> None:
    """Keeps the values for `told`; raises OSError."""
    file = folder / FILE
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump(values, opened)


def forget(folder: Path) -> None:
    """No server runs on this folder any more."""
    (folder / FILE).unlink(missing_ok=True)
