"""Members of organisations over REST."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from workspaces import memberships
from workspaces.serializers import MembershipSerializer, NewMemberSerializer


class MembersView(APIView):
    """`POST /api/v1/organizations/<id>/members`."""

    def post(self, request: Request, organization_id: str) -> Response:
        """201 when the user is a new member; 200 when it was one before, now with this role."""
        serializer = NewMemberSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        enrolment = memberships.add_organization_member(
            caller=caller_of(request), organization_id=organization_id, user_id=asked["user"], role=asked["role"]
        )
        return Response(MembershipSerializer(enrolment.membership).data, status=201 if enrolment.is_new else 200)
