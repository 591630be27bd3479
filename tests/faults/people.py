"""Three people in two organisations: one belongs to both, the others to one each. A staff account publishes.

`python -m tests.faults.people` makes them, and prints a JSON object: their ids and API keys, and each organisation's workspace.
"""

import json
import sys

import django

ORGANIZATIONS = ("org_north", "org_south")
MEMBERS = {"ann": ORGANIZATIONS, "ben": ("org_north",), "cid": ("org_south",)}


def main() -> None:
    django.setup()
    from accounts.models import Membership, Organization, User
    from accounts.services import credential_for
    from workspaces.models import Workspace, WorkspaceMember

    organizations = {name: Organization.objects.create(public_id=name, name=name) for name in ORGANIZATIONS}
    workspaces = {name: Workspace.objects.create(organization=each, name=name) for name, each in organizations.items()}
    made = {}
    for name, belongs in MEMBERS.items():
        user = User(username=name)
        user.set_unusable_password()
        user.save()
        for each in belongs:
            Membership.objects.create(organization=organizations[each], user=user, role="member")
            WorkspaceMember.objects.create(workspace=workspaces[each], user=user)
        made[name] = [user.public_id, credential_for(username=name, api_key_name="faults"), list(belongs)]
    staff = ["user_demo", credential_for(username="demo", api_key_name="faults"), []]
    json.dump(
        {"people": made | {"staff": staff}, "workspaces": {name: each.public_id for name, each in workspaces.items()}}, sys.stdout
    )


if __name__ == "__main__":
    main()
