"""Members of organisations, workspaces and their members over REST."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.openapi import (
    CURSOR,
    nothing,
    page_of,
    query,
)
from workspaces import members, memberships, services
from workspaces.serializers import (
    MembershipSerializer,
    NewMemberSerializer,
    NewWorkspaceSerializer,
    RenamedWorkspaceSerializer,
    RoleSerializer,
    WorkspaceMemberSerializer,
    WorkspaceSerializer,
)

WAS_MEMBER = "He was a member before, now with this role."


def _checked(serializer_class: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class MembersView(APIView):
    """`POST /api/v1/organizations/<id>/members`."""

    @extend_schema(
        summary="Add a member to an organisation",
        request=NewMemberSerializer,
        responses={201: MembershipSerializer, 200: OpenApiResponse(MembershipSerializer, description=WAS_MEMBER)},
    )
    def post(self, request: Request, organization_id: str) -> Response:
        """201 when the user is a new member; 200 when it was one before, now with this role."""
        asked = _checked(NewMemberSerializer, request)
        enrolment = memberships.add_organization_member(
            caller=caller_of(request), organization_id=organization_id, user_id=asked["user"], role=asked["role"]
        )
        return Response(MembershipSerializer(enrolment.membership).data, status=201 if enrolment.is_new else 200)


class WorkspacesView(APIView):
    """`GET`, `POST /api/v1/workspaces`."""

    @extend_schema(summary="List workspaces", parameters=[query("organization"), CURSOR], responses=page_of(WorkspaceSerializer))
    def get(self, request: Request) -> Response:
        """One page of those that the caller may see, of one organisation with `?organization=`."""
        organization, cursor = (request.query_params.get(name, "") for name in ("organization", "cursor"))
        found, following = services.list_workspaces(caller=caller_of(request), organization_id=organization, cursor=cursor)
        return Response({"results": WorkspaceSerializer(found, many=True).data, "next": following})

    @extend_schema(
        summary="Make a workspace",
        request=NewWorkspaceSerializer,
        responses={201: WorkspaceSerializer, 404: "", 409: "Too many."},
    )
    def post(self, request: Request) -> Response:
        """201 with the new workspace."""
        asked = _checked(NewWorkspaceSerializer, request)
        made = services.create(caller=caller_of(request), organization_id=asked["organization"], name=asked["name"])
        return Response(WorkspaceSerializer(made).data, status=201)


class WorkspaceView(APIView):
    """`GET`, `PATCH`, `DELETE /api/v1/workspaces/<id>`."""

    @extend_schema(summary="Get a workspace", responses=WorkspaceSerializer)
    def get(self, request: Request, workspace_id: str) -> Response:
        """One."""
        return Response(WorkspaceSerializer(services.get(caller=caller_of(request), workspace_id=workspace_id)).data)

    @extend_schema(summary="Rename a workspace", request=RenamedWorkspaceSerializer, responses=WorkspaceSerializer)
    def patch(self, request: Request, workspace_id: str) -> Response:
        """Renames it."""
        asked = _checked(RenamedWorkspaceSerializer, request)
        renamed = services.rename(caller=caller_of(request), workspace_id=workspace_id, name=asked["name"])
        return Response(WorkspaceSerializer(renamed).data)

    @extend_schema(summary="Delete a workspace", responses={204: nothing("It is deleted, and its sockets are closed.")})
    def delete(self, request: Request, workspace_id: str) -> Response:
        """Deletes it."""
        services.delete(caller=caller_of(request), workspace_id=workspace_id)
        return Response(status=204)


class WorkspaceMembersView(APIView):
    """`GET`, `POST /api/v1/workspaces/<id>/members`."""

    @extend_schema(summary="List members of a workspace", parameters=[CURSOR], responses=page_of(WorkspaceMemberSerializer))
    def get(self, request: Request, workspace_id: str) -> Response:
        """One page of its members."""
        cursor = request.query_params.get("cursor", "")
        found, following = members.list_members(caller=caller_of(request), workspace_id=workspace_id, cursor=cursor)
        return Response({"results": WorkspaceMemberSerializer(found, many=True).data, "next": following})

    @extend_schema(
        summary="Add a member to a workspace",
        request=NewMemberSerializer,
        responses={
            201: WorkspaceMemberSerializer,
            200: OpenApiResponse(WorkspaceMemberSerializer, description=WAS_MEMBER),
            409: "There are too many.",
        },
    )
    def post(self, request: Request, workspace_id: str) -> Response:
        """201 when the user is a new member; 200 when it was one before, now with this role."""
        asked = _checked(NewMemberSerializer, request)
        addition = members.add(caller=caller_of(request), workspace_id=workspace_id, user_id=asked["user"], role=asked["role"])
        return Response(WorkspaceMemberSerializer(addition.member).data, status=201 if addition.is_new else 200)


class WorkspaceMemberView(APIView):
    """`PATCH`, `DELETE /api/v1/workspaces/<id>/members/<user id>`."""

    @extend_schema(
        summary="Change the role of a member", request=RoleSerializer, responses={200: WorkspaceMemberSerializer, 409: ""}
    )
    def patch(self, request: Request, workspace_id: str, user_id: str) -> Response:
        """Gives the member another role."""
        role = _checked(RoleSerializer, request)["role"]
        member = members.change_role(caller=caller_of(request), workspace_id=workspace_id, user_id=user_id, role=role)
        return Response(WorkspaceMemberSerializer(member).data)

    @extend_schema(summary="Remove a member from a workspace", responses={204: nothing("The membership is over."), 409: ""})
    def delete(self, request: Request, workspace_id: str, user_id: str) -> Response:
        """Ends the membership; anybody may end his own."""
        members.remove(caller=caller_of(request), workspace_id=workspace_id, user_id=user_id)
        return Response(status=204)
