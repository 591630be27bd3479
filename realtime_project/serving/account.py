"""The system account that Postgres runs as when the server is started by root."""

import contextlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realtime_project.serving.errors import ServingError

NAME = "throughline"


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group id that programs are started with."""

    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `subprocess.Popen` that make a program run as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can_use(self, path: Path) -> bool:
        """Whether this account can reach the path and enter or run it; asked of the kernel, so ACLs count."""
        test = shutil.which("test") or "/usr/bin/test"
        asked = subprocess.run([test, "-x", str(path)], cwd="/", check=False, **self.popen_arguments())  # noqa: S603
        return asked.returncode == 0


def for_postgres(data: Path) -> Account | None:
    """The account that Postgres must run as, None for our own.

    Postgres refuses to run as root. Data that an ordinary user made keep their owner; otherwise
    a system account `throughline` is used, and made when it is missing.

    Raises:
        ServingError: the account cannot be made.
    """
    if os.geteuid() != 0:
        return None
    if (data / "PG_VERSION").exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    with contextlib.suppress(KeyError):
        return _named()
    try:
        subprocess.run(  # noqa: S603
            ["useradd", "--system", "--no-create-home", "--user-group", "--shell", "/usr/sbin/nologin", NAME],  # noqa: S607
            check=True,
            capture_output=True,
        )
        return _named()
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise ServingError(
            f"Postgres does not run as root and the system account `{NAME}` could not be made ({_reason(error)}): "
            "start as an ordinary user, or set DATABASE_URL."
        ) from error


def _named() -> Account:
    entry = pwd.getpwnam(NAME)
    return Account(entry.pw_uid, entry.pw_gid)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return str(error.stderr.decode(errors="replace").strip() or error)
    return str(error)
