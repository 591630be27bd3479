from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.credentials import Credential
from accounts.models import User
from accounts.recent import find_caller

pytestmark = pytest.mark.django_db


def output_of(*arguments):
    out = StringIO()
    call_command("make_token", *arguments, stdout=out)
    return out.getvalue().strip()


def test_it_prints_a_token_and_nothing_else(alice):
    assert find_caller(Credential("jwt", output_of("alice")), path="").pk == alice.pk


def test_it_prints_a_new_api_key(alice):
    assert find_caller(Credential("api_key", output_of("alice", "--api-key", "laptop")), path="").pk == alice.pk
    assert alice.api_keys.get().name == "laptop"


def test_an_unknown_or_deactivated_user_is_a_clear_sentence(alice):
    User.objects.update(is_active=False)
    for name in ("alice", "nobody"):
        with pytest.raises(CommandError, match="no active user"):
            output_of(name)
