"""Makes who is there on the day of `scenarios/day.py`. Arguments: FOLDER USERS WORKSPACES MEMBERS.

Writes into FOLDER, a line each: `feeds` and `sockets`, what readers ask for; `streams`, where their events are published.
"""

import sys
from pathlib import Path

import django

django.setup()

from accounts import tokens  # noqa: E402 - after django.setup()
from accounts.models import Membership, User  # noqa: E402
from accounts.services import ensure_organization  # noqa: E402
from workspaces.services import ensure_workspace  # noqa: E402


def people(count: int) -> list[User]:
    """So many users, made at once where they are not there."""
    names = [f"day-{number}" for number in range(count)]
    User.objects.bulk_create([User(username=name, password="!") for name in names], ignore_conflicts=True, batch_size=1000)
    by_name = {user.username: user for user in User.objects.filter(username__in=names)}
    return [by_name[name] for name in names]


def main(folder: Path, users: int, workspaces: int, members: int) -> None:
    """All of it; workspace w has the `members` users after those of workspace w - 1."""
    organization = ensure_organization(public_id="org_bench")
    everybody = people(users)
    token_of = {user.pk: tokens.issue_access(user_id=user.public_id, organizations=()) for user in everybody}
    # With a cursor from the first request on, as clients that were here before: who is cut off before his first event has one.
    feeds = [f"/api/events?last_event_id=0&token={token_of[user.pk]}" for user in everybody]
    streams, sockets = [f"user:{user.public_id}" for user in everybody], []
    for number in range(workspaces):
        here = [everybody[(number * members + member) % users] for member in range(members)]
        Membership.objects.bulk_create([Membership(user=user, organization=organization) for user in here], ignore_conflicts=True)
        made = ensure_workspace(
            public_id=f"ws_bench_{number}", organization_pk=organization.pk, member_pks=tuple(user.pk for user in here)
        )
        streams.append(f"workspace:{made.public_id}")
        sockets += [f"/ws/workspaces/{made.public_id}?token={token_of[user.pk]}" for user in here]
    for name, lines in (("feeds", feeds), ("sockets", sockets), ("streams", streams)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))


main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
