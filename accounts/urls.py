"""Addresses of accounts, to be included under `api/v1/auth/`."""

from django.urls import path

from accounts.views import ApiKeysView, ApiKeyView, RefreshView, TicketsView, TokenView

urlpatterns = [
    path("token", TokenView.as_view(), name="auth-token"),
    path("token/refresh", RefreshView.as_view(), name="auth-token-refresh"),
    path("tickets", TicketsView.as_view(), name="auth-tickets"),
    path("api-keys", ApiKeysView.as_view(), name="auth-api-keys"),
    path("api-keys/<str:key_id>", ApiKeyView.as_view(), name="auth-api-key"),
]
