"""Many users at once: `python -m tests.live.people <count>` prints a JSON list of [id, token, API key]."""

import json
import sys
import uuid

import django


def main(count: int) -> None:
    django.setup()
    from accounts.models import User
    from accounts.services import credential_for

    made = []
    for _ in range(count):
        user = User(username=uuid.uuid4().hex)
        user.set_unusable_password()
        user.save()
        token = credential_for(username=user.username, api_key_name=None)
        made.append([user.public_id, token, credential_for(username=user.username, api_key_name="test")])
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
