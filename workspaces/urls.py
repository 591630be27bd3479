"""Addresses of workspaces."""

from django.urls import path

from workspaces import views

urlpatterns = [path("api/v1/organizations/<str:organization_id>/members", views.MembersView.as_view())]
