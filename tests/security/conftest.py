"""What the tests of abuse share: alice, bob, carol, eve and the staff, in stores that are empty otherwise."""

import pytest

from accounts.threads import in_thread
from tests.chat.conftest import hub_closed, stores  # noqa: F401 - fixtures
from tests.security import people


@pytest.fixture
async def who(stores, hub_closed, settings):  # noqa: F811
    """Everybody, by name; without limits on how much of alice's there may be."""
    settings.NOTIFICATIONS_RULES_MAX = settings.CHAT_RUNNING_PER_USER = 1000
    return await in_thread(people.everybody)
