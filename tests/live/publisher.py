"""A process of its own that publishes to a user's backlog from several threads at once.

`python -m tests.live.publisher <user id> <name> <threads> <events each>`: prints a JSON list of
[id, publisher, number] in no particular order.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import django

PAUSE = 0.02


def main(user_id: str, name: str, threads: int, events: int) -> None:
    django.setup()
    import chat.run_events  # noqa: F401 - registers the event types
    from events.publishing import publish
    from events.streams import Stream

    def publish_all(thread: int) -> list[list]:
        made = []
        for number in range(events):
            publisher = f"{name}{thread}"
            data = {"publisher": publisher, "number": number}
            event_id = publish(stream=Stream("user", user_id), type="notification.created", data=data)
            made.append([str(event_id), publisher, number])
            time.sleep(PAUSE)  # so that readers are cut while events come
        return made

    with ThreadPoolExecutor(threads) as pool:
        json.dump([each for made in pool.map(publish_all, range(threads)) for each in made], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
