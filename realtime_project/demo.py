"""Something to look at on the first start: an organisation, a workspace, an application, three users."""

from django.db import transaction

from accounts.models import Membership, User
from accounts.services import ensure_organization, ensure_user
from chat.models import Application
from workspaces.models import Workspace, WorkspaceMember

ORGANIZATION = "org_demo"
WORKSPACE = "ws_demo"
APPLICATION = "app_demo"
STAFF = "demo"
TOOLS = ("calculator", "current_time", "search_sources")
"""Of the application: those that change nothing, so that nobody is asked."""
USERS = (STAFF, "alice", "bob")


def ensure_demo() -> str:
    """Makes the demo data in a database without users, says so, and says in the last line who can log in.

    Where there are users, nothing is made: whoever deleted the demo users does not want them back. Empty
    when there is no user `demo`.
    """
    if not User.objects.exists():
        create_demo()
        made = (
            f"Made the organisation {ORGANIZATION}, the workspace {WORKSPACE}, the application {APPLICATION} and three users.\n"
        )
    elif User.objects.filter(username=STAFF).exists():
        made = ""
    else:
        return ""
    others = " and ".join(name for name in USERS if name != STAFF)
    return f"{made}{STAFF} (staff), {others}; each password is the name"


@transaction.atomic
def create_demo() -> None:
    """Makes whatever of the demo data is missing, and leaves the rest as it is."""
    organization = ensure_organization(public_id=ORGANIZATION, name="Demo organisation")
    workspace, _ = Workspace.objects.get_or_create(
        public_id=WORKSPACE, defaults={"name": "Demo workspace", "organization": organization}
    )
    Application.objects.get_or_create(
        public_id=APPLICATION, defaults={"name": "Demo application", "organization": organization, "tools": list(TOOLS)}
    )
    for name in USERS:
        staff = name == STAFF
        user = ensure_user(
            username=name,
            password=name,
            is_staff=staff,
            is_superuser=staff,
            public_id=f"user_{name}",
            organization=organization,
            role=Membership.Role.ADMIN if staff else Membership.Role.MEMBER,
        )
        WorkspaceMember.objects.get_or_create(workspace=workspace, user=user)
