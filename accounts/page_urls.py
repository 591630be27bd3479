"""The pages of accounts, to be included at the root."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from accounts.views import LoginView

urlpatterns = [
    path("login", LoginView.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
]
