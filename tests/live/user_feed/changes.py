"""A process of its own that changes the database and publishes with it, and may die on the way.

`python -m tests.live.user_feed.changes <user id> <number> <how>`, how being one of `commit`, `rollback`,
`die_after_commit` (SIGKILL before the event is sent) and `die_after_sending` (SIGKILL before that is written down).
"""

import os
import signal
import sys

import django


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(user_id: str, number: int, how: str) -> None:
    django.setup()
    from django.db import transaction

    from accounts.models import User
    from events import outbox
    from events.streams import Stream

    if how == "die_after_sending":
        publish_once = outbox.publish_once

        def publish_and_die(*args, **kwargs):
            publish_once(*args, **kwargs)
            die()

        outbox.publish_once = publish_and_die
    try:
        with transaction.atomic():
            User.objects.filter(public_id=user_id).update(last_name=str(number))
            if how == "die_after_commit":
                # What is to happen on commit happens in the order in which it was asked for.
                transaction.on_commit(die)
            data = {"payload": {"n": number}}
            outbox.publish_with_commit(stream=Stream("user", user_id), type="resource.shared", data=data)
            if how == "rollback":
                raise ZeroDivisionError
    except ZeroDivisionError:
        pass


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
