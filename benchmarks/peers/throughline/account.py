"""Prints the account of the readers as JSON: the user's public id, and an access token."""

import json

import django

django.setup()

from accounts.models import User  # noqa: E402 - after django.setup()
from accounts.services import credential_for  # noqa: E402

user, _ = User.objects.get_or_create(username="bench")
print(json.dumps({"user": user.public_id, "token": credential_for(username=user.username, api_key_name=None)}))
