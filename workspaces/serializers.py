"""What requests about members must look like, and how members are told."""

from typing import Any

from rest_framework import serializers

from accounts.models import Membership


class NewMemberSerializer(serializers.Serializer[Any]):
    """`{user, role}`: a public id, and what the member may do."""

    user = serializers.CharField(max_length=128)
    role = serializers.ChoiceField(choices=Membership.Role.choices, default=Membership.Role.MEMBER)


class MembershipSerializer(serializers.Serializer[Membership]):
    """A membership, by public ids."""

    organization = serializers.CharField(source="organization.public_id")
    user = serializers.CharField(source="user.public_id")
    role = serializers.CharField()
