"""`manage.py make_token`: a credential for a user, for scripts and for trying things out."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import APIException

from accounts import services


class Command(BaseCommand):
    """Prints an access token for a user, or with --api-key a new API key."""

    help = "Prints an access token for a user, or with --api-key NAME a new API key (it is shown only this once)."

    def add_arguments(self, parser: CommandParser) -> None:
        """The user's name, and the name of a key to make."""
        parser.add_argument("username", help="who the token is for")
        parser.add_argument("--api-key", metavar="NAME", help="make an API key of this name instead of a token")

    def handle(self, *_: Any, username: str, api_key: str | None, **__: Any) -> None:
        """Print nothing but the credential, so that it can be used in `$(...)`."""
        try:
            self.stdout.write(services.credential_for(username=username, api_key_name=api_key))
        except APIException as error:
            raise CommandError(str(error.detail)) from error
