"""`manage.py procrastinate`: as procrastinate ships it, but `worker` runs ours."""

import asyncio
from typing import Any

from procrastinate.contrib.django.management.commands.procrastinate import Command as ProcrastinateCommand

from chat.worker import work

OPTIONS = ("name", "queues", "concurrency", "fetch_job_polling_interval", "listen_notify")


class Command(ProcrastinateCommand):
    """Access procrastinate's commands; `worker` drives answers until SIGTERM or Ctrl-C."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the subcommand."""
        if options.get("command") != "worker":
            super().handle(*args, **options)
            return
        asyncio.run(work(**{name: options[name] for name in OPTIONS if name in options}))
