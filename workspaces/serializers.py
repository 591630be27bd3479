"""What requests about workspaces and members must look like, and how those are told."""

from typing import Any

from rest_framework import serializers

from accounts.models import Membership
from workspaces.models import WorkspaceMember


class NewMemberSerializer(serializers.Serializer[Any]):
    """`{user, role}`: a public id, and what the member may do."""

    user = serializers.CharField(max_length=128)
    role = serializers.ChoiceField(choices=Membership.Role.choices, default=Membership.Role.MEMBER)


class MembershipSerializer(serializers.Serializer[Membership]):
    """A membership, by public ids."""

    organization = serializers.CharField(source="organization.public_id")
    user = serializers.CharField(source="user.public_id")
    role = serializers.CharField()


class NewWorkspaceSerializer(serializers.Serializer[Any]):
    """`{organization, name}`: a public id, and what people read."""

    organization = serializers.CharField(max_length=128)
    name = serializers.CharField(max_length=200)


class RenamedWorkspaceSerializer(serializers.Serializer[Any]):
    """`{name}`."""

    name = serializers.CharField(max_length=200)


class WorkspaceSerializer(serializers.Serializer[Any]):
    """A workspace by public ids, with the caller's own role in it (null: no member)."""

    id = serializers.CharField(source="public_id")
    name = serializers.CharField()
    organization = serializers.CharField(source="organization.public_id")
    role = serializers.CharField(source="my_role", allow_null=True)
    members = serializers.IntegerField(source="member_count")


class RoleSerializer(serializers.Serializer[Any]):
    """`{role}`."""

    role = serializers.ChoiceField(choices=WorkspaceMember.Role.choices)


class WorkspaceMemberSerializer(serializers.Serializer[Any]):
    """A member of a workspace."""

    user = serializers.CharField(source="user.public_id")
    username = serializers.CharField(source="user.username")
    role = serializers.CharField()
