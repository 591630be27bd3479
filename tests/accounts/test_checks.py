import pytest
from django.core.checks import run_checks


def ids():
    return [each.id for each in run_checks(tags=["accounts"])]


def test_the_defaults_are_fine_and_the_check_is_registered():
    assert ids() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"JWT_ALGORITHM": "none"}, ["accounts.E001"]),
        ({"JWT_ALGORITHM": "RS256"}, ["accounts.E002"]),
        ({"JWT_ALGORITHM": "RS256", "JWT_JWKS_URL": "file:///etc/passwd"}, ["accounts.E003"]),
        ({"JWT_ALGORITHM": "RS256", "JWT_JWKS_URL": "https://id.example/jwks"}, ["accounts.W001"]),
        ({"JWT_ALGORITHM": "RS256", "JWT_JWKS_URL": "https://id.example/jwks", "JWT_AUDIENCE": "us"}, []),
        ({"JWT_SIGNING_KEY": "short"}, ["accounts.W002"]),
        ({"CSRF_USE_SESSIONS": True}, ["accounts.E004"]),
    ],
)
def test_settings_that_would_not_work_are_named(settings, changes, expected):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert ids() == expected
