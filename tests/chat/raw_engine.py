"""An engine that gives parts exactly as a test wants them, unlike the scripted one, which cleans its texts."""

import asyncio
from typing import ClassVar

from chat.engines.base import BaseEngine, EngineError

ALIAS = {"BACKEND": "tests.chat.raw_engine.RawEngine", "OPTIONS": {}}


class RawEngine(BaseEngine):
    """Yields `parts`: parts, exceptions to raise, and events to wait for."""

    parts: ClassVar = []
    problem = None
    streaming = 0
    requests: ClassVar = []

    def check(self):
        return self.problem

    async def stream(self, request):
        type(self).streaming += 1
        self.requests.append(request)
        try:
            for part in self.parts:
                if isinstance(part, BaseException):
                    raise part
                if isinstance(part, asyncio.Event):
                    await part.wait()
                else:
                    yield part
        finally:
            type(self).streaming -= 1


FAILURE = EngineError("provider_error", "The provider failed.", retryable=True)
