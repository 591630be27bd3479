"""What is looked for in the logs of every live run is found when it is there, and only then."""

import pytest

from tests.live.leaks import leaks

KEY = "a-signing-key"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyXzEifQ.c2lnbmF0dXJlLW9mLWl0"


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: Bearer {JWT}",
        f"GET /api/events?last_event_id=0&token={JWT}",
        "made sk_0123456789abcdef0123456789abcdef for alice",
        "GET /ws/events?ticket=f00dfacef00dface",
        "cookie sessionid=abcdefghijklmnopqrstuvwxyz012345",
        "signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "-----BEGIN EC PRIVATE KEY-----",
        f"SECRET_KEY is {KEY}",
    ],
)
def test_a_secret_is_found_with_the_log_that_it_is_in(tmp_path, line):
    (tmp_path / "web-1.log").write_text(f"ready\n{line}\nstopped\n")
    (tmp_path / "web-2.log").write_text("ready\n")
    found = leaks(tmp_path, known=KEY)
    assert found
    assert all("web-1.log" in each for each in found)


def test_what_was_taken_out_and_what_only_sounds_like_it_is_none(tmp_path):
    (tmp_path / "web.log").write_text(
        "GET /api/events?token=[redacted]\nThe token has expired. Get a new one.\nsk_test\nGET /x?ticket=\nsessionid=[redacted]\n"
    )
    assert leaks(tmp_path, known=KEY) == []
