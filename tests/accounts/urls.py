from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView


class WhoView(APIView):
    """Answers with what CallerAuthentication found."""

    def get(self, request):
        caller = request.auth
        return Response({"user_id": caller.user_id, "credential": caller.credential, "same": request.user is caller})

    post = get


class PublicView(APIView):
    permission_classes = (AllowAny,)

    def get(self, request):
        return Response({"anonymous": request.user is None})


urlpatterns = [
    path("", lambda request: HttpResponse("home"), name="home"),
    path("admin/", admin.site.urls),
    path("api/v1/auth/", include("accounts.urls")),
    path("", include("accounts.page_urls")),
    path("who", WhoView.as_view()),
    path("public", PublicView.as_view()),
]
