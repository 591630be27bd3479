"""Prints the account of the readers as JSON: the public ids of the user and of his organisation, and an access token."""

import json

import django

django.setup()

from accounts.models import Membership, User  # noqa: E402 - after django.setup()
from accounts.services import credential_for, ensure_organization  # noqa: E402

user, _ = User.objects.get_or_create(username="bench")
organization = ensure_organization(public_id="org_bench")
Membership.objects.get_or_create(user=user, organization=organization)
token = credential_for(username=user.username, api_key_name=None)
print(json.dumps({"user": user.public_id, "organization": organization.public_id, "token": token}))
