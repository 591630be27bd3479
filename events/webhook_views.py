"""`POST /hooks/{id}`: events of other services."""

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events import webhook_receiving
from events.conf import conf
from events.exceptions import TooLarge


class WebhookInletView(APIView):
    """No credentials: the signature says who it is."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def post(self, request: Request, inlet_id: str) -> Response:
        """Publishes what was posted; 200 also when it was posted before."""
        declared = request.META.get("CONTENT_LENGTH") or ""
        if not declared.isdigit() or int(declared) > conf.WEBHOOK_MAX_BYTES:
            raise TooLarge(f"A body with a Content-Length of at most {conf.WEBHOOK_MAX_BYTES} bytes is accepted.")
        headers = {name.lower(): value for name, value in request.headers.items()}
        published = webhook_receiving.receive(inlet_id=inlet_id, headers=headers, body=request._request.body)
        return Response({"id": published.id, "topic": published.topic})
