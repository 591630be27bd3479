"""Who works where in the load on topics: connection i is member i of TEAMS teams in turn, and asks for its task and its team."""

TEAMS = 100
MEMBERS = 10


def patterns(organization: str, connection: int) -> list[str]:
    """What a connection subscribes to; some events match both."""
    of_task = f"events.{organization}.bench.task.*.r{connection}"
    return [of_task, f"events.{organization}.bench.*.*.*.team.t{connection % TEAMS}"]


def place(number: int) -> tuple[int, int, int]:
    """Of event `number`, from 0: its team, its number within the team, from 1, and the member whose task it is about."""
    own, team = divmod(number, TEAMS)
    return team, own + 1, team + TEAMS * (own % MEMBERS)
