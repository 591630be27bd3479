"""What a follower says, on standard output."""

import json
import re
import sys
import time

NUMBER = re.compile(r'"n": ?(\d+)')


class Teller:
    """One of many followers of a program."""

    def __init__(self, who: int) -> None:
        self._who = who

    def opened(self) -> None:
        """There is a connection, and the server has said so."""
        self._say("open")

    def received(self, text: str) -> None:
        """A frame came: if it is a numbered event it counts."""
        found = NUMBER.search(text)
        if found:
            self._say("event", int(found[1]), time.monotonic_ns())

    def missed(self) -> None:
        """The server said that events may be missing here."""
        self._say("gap")

    def _say(self, what: str, *more: int) -> None:
        # One write a line: followers share the pipe.
        sys.stdout.write(json.dumps([what, self._who, *more]) + "\n")
        sys.stdout.flush()
