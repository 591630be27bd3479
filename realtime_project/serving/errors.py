"""Why the server cannot run."""


class ServingError(Exception):
    """Something that whoever starts the server must change; the message is one sentence that says what."""
