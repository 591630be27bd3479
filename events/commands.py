"""What one process tells all others: events of the stream `server:commands`, which each of them follows.

A stream like any other: a process that was cut off for a while hears the commands late, but hears them.
"""

from events.event import EventType, register
from events.streams import Stream

COMMANDS = Stream("server", "commands")

END = EventType("connection.end", "Connections are to be closed: `connection_id` or `user_id`, `code`, `reason`, and `by` whom.")
RECHECK = EventType("connection.recheck", "What lets users in has changed: the connections of `user_ids` are looked at again.")

register(END, RECHECK)
