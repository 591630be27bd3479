
import pytest

from accounts import services
from accounts.recent import recent_callers
from events.consumers import BaseConsumer
from tests.events.sockets import Socket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick(settings, valkey):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    recent_callers.clear()


@pytest.fixture
def alice():
    return services.ensure_user(username="alice", password="correct horse battery")


@pytest.fixture
def token(alice):
    return services.access_token_for(user=alice)


class Echo(BaseConsumer):
    async def on_say(self, frame):
        await self.tell({"type": "said", "what": frame.get("what")})


async def test_a_good_token_is_connected_and_answered(hub, token, alice):
    socket = Socket(Echo, query={"token": token})
    hello = await socket.next()
    assert (hello["type"], hello["user_id"]) == ("connected", alice.public_id)
    assert await socket.answer({"type": "say", "what": "x"}) == {"type": "said", "what": "x"}
    await socket.leave()


@pytest.mark.parametrize("bad", ["rubbish", "", "a.b.c", "sk_1"])
async def test_a_bad_token_is_accepted_then_closed(hub, bad):
    socket = Socket(Echo, query={"token": bad})
    assert await socket.over() == (1008, "Invalid token")
    assert socket.sent[0]["type"] == "websocket.accept"
