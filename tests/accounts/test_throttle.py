import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from rest_framework.exceptions import AuthenticationFailed, Throttled

from accounts import services, throttle
from accounts.models import LoginWindow
from tests.accounts.conftest import PASSWORD


@pytest.fixture(autouse=True)
def _few_attempts(settings):
    settings.LOGIN_ATTEMPTS_PER_MINUTE = 3


def attempt(username="alice", address="10.0.0.1"):
    throttle.count_attempt(username=username, address=address)


@pytest.mark.django_db
def test_attempts_beyond_the_limit_are_refused_and_told_how_long_to_wait():
    for _ in range(3):
        attempt()
    with pytest.raises(Throttled) as refusal:
        attempt()
    assert 1 <= refusal.value.wait <= 60
    assert refusal.value.status_code == 429


@pytest.mark.django_db
def test_other_names_and_other_addresses_have_their_own_count():
    for _ in range(3):
        attempt()
    attempt(username="bob")
    attempt(address="10.0.0.2")
    with pytest.raises(Throttled):
        attempt()


@pytest.mark.django_db
def test_a_minute_after_the_first_attempt_the_count_begins_anew():
    for _ in range(3):
        attempt()
    with pytest.raises(Throttled):
        attempt()
    LoginWindow.objects.update(started_at=F("started_at") - timedelta(seconds=61))
    for _ in range(3):
        attempt()
    with pytest.raises(Throttled):
        attempt()


@pytest.mark.django_db
def test_refused_attempts_do_not_prolong_the_wait():
    for _ in range(3):
        attempt()
    started = LoginWindow.objects.get().started_at
    with pytest.raises(Throttled):
        attempt()
    assert LoginWindow.objects.get().started_at == started


@pytest.mark.django_db
def test_old_windows_are_removed():
    attempt(username="old")
    LoginWindow.objects.update(started_at=F("started_at") - timedelta(seconds=61))
    attempt(username="new")
    assert LoginWindow.objects.count() == 1


@pytest.mark.django_db
def test_zero_means_no_limit(settings):
    settings.LOGIN_ATTEMPTS_PER_MINUTE = 0
    for _ in range(30):
        attempt()
    assert not LoginWindow.objects.exists()


@pytest.mark.django_db
def test_neither_name_nor_address_is_stored():
    attempt()
    assert "alice" not in str(vars(LoginWindow.objects.get()))


@pytest.mark.django_db(transaction=True)
def test_attempts_on_other_connections_are_all_counted(settings):
    """Other processes have other connections, and nothing else in common: neither have these threads."""
    settings.LOGIN_ATTEMPTS_PER_MINUTE = 10
    gate = threading.Barrier(4, timeout=20)

    def guess(_):
        gate.wait()
        refused = 0
        try:
            for _ in range(5):
                try:
                    attempt()
                except Throttled:
                    refused += 1
        finally:
            connection.close()
        return refused

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(guess, range(4))) == 10


@pytest.mark.django_db
def test_a_right_password_starts_the_count_anew(alice):
    for _ in range(10):
        services.log_in(username="alice", password=PASSWORD, address="10.0.0.1")
    for _ in range(3):
        with pytest.raises(AuthenticationFailed):
            services.log_in(username="alice", password="wrong", address="10.0.0.1")
    with pytest.raises(Throttled):
        services.log_in(username="alice", password=PASSWORD, address="10.0.0.1")
