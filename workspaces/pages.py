"""The pages of workspaces: the list, and one with who is here and what happens."""

from typing import cast

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie

from accounts.models import User
from workspaces import members, memberships


@login_required
@ensure_csrf_cookie
def workspace_list(request: HttpRequest) -> HttpResponse:
    """`/workspaces`: those that one may enter; for admins of an organisation also a form to make one."""
    organizations = memberships.administered_organizations(user_pk=cast("User", request.user).pk)
    return render(request, "pages/workspaces.html", {"organizations": organizations})


@login_required
@ensure_csrf_cookie
def workspace(request: HttpRequest, workspace_id: str) -> HttpResponse:
    """`/workspaces/<id>`, for members; 404 for everybody else."""
    member = members.find(workspace_id=workspace_id, user_pk=cast("User", request.user).pk)
    if member is None:
        raise Http404
    may_administer = members.may_administer(member)
    page_data = {"id": member.workspace.public_id, "may_administer": may_administer}
    context = {"workspace": member.workspace, "may_administer": may_administer, "page_data": page_data}
    return render(request, "pages/workspace.html", context)
