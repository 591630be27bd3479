"""The data folder: that it can be used, that one server uses it, and the secrets kept in it."""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from realtime_project.serving.errors import ServingError


class DataFolder:
    """The folder named by DATA_DIR, held by one server at a time."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().absolute()
        self._lock: int | None = None

    def take(self) -> None:
        """Makes the folder when it is missing and locks it for this process.

        The lock is flock(2)'s, so it ends with the process however that dies.

        Raises:
            ServingError: it is a file, cannot be written, or belongs to a running server.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0 and not any(self.path.iterdir()):
                self.path.chmod(0o711)  # the account that Postgres runs as must pass through
            descriptor = os.open(self.path / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ServingError(
                f"The data folder {self.path} cannot be used: {reason(error)}; set DATA_DIR to a folder of yours."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ServingError(
                f"Throughline is already running on {self.path} (process {holder}): "
                "stop it first, or set another DATA_DIR and PORT."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor

    def release(self) -> None:
        """Lets another server use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secret_key(self) -> str:
        """The signing key kept in the folder, made at the first call.

        Raises:
            ServingError: the file cannot be read or written.
        """
        return kept_secret(self.path / "secret_key")


def kept_secret(file: Path) -> str:
    """The random text kept in a file that only its owner can read; made at the first call.

    Raises:
        ServingError: the file cannot be read or written.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            if secret := file.read_text().strip():
                return secret
        secret = secrets.token_urlsafe(48)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.write(secret + "\n")
    except OSError as error:
        raise ServingError(f"The secret in {file} cannot be used: {reason(error)}.") from error
    return secret


def reason(error: OSError) -> str:
    """What the system says about a failure, to stand inside a sentence."""
    return (error.strerror or str(error)).lower()
