"""Where the embedded stores listen: unix sockets in private folders, never an address of a network."""

import hashlib
import os
import socket
import tempfile
from pathlib import Path

from realtime_project.serving.account import Account
from realtime_project.serving.errors import ServingError
from realtime_project.serving.folder import reason

# sun_path holds 104 bytes on macOS and 108 on Linux; the longest name put behind the folder is `/.s.PGSQL.5432.lock`.
FOLDER_MAX_BYTES = 84


def socket_folder(home: Path, *, account: Account | None = None) -> Path:
    """A folder for the sockets of one store, that only `account` (None: we ourselves) and root can enter.

    It lies in the store's home, or, where that path is too long for a socket, in the system's folder for
    temporary files under a name made from the home's path and our user id.

    Raises:
        ServingError: it cannot be made, or somebody else made it before us.
    """
    folder = home / "run"
    try:
        if len(os.fsencode(folder)) > FOLDER_MAX_BYTES:
            digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
            parent = Path(tempfile.gettempdir()) / f"throughline-{os.geteuid()}-{digest}"
            parent.mkdir(mode=0o711, exist_ok=True)
            # Everybody may make files there: the name may have been taken by somebody else, as a trap.
            if parent.is_symlink() or parent.stat().st_uid != os.geteuid():
                raise ServingError(f"The folder {parent} belongs to somebody else: remove it, or set a shorter DATA_DIR.")
            folder = parent / "run"
        folder.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            os.chown(folder, account.uid, account.gid)
    except OSError as error:
        raise ServingError(f"The folder {folder} for sockets cannot be used: {reason(error)}.") from error
    return folder


def is_listening(path: Path) -> bool:
    """Whether a process accepts connections on the unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(2)
        try:
            asked.connect(str(path))
        except OSError:
            return False
    return True
