"""Addresses of workspaces."""

from django.urls import path

from workspaces import pages, views

urlpatterns = [
    path("workspaces", pages.workspace_list, name="workspaces"),
    path("workspaces/<str:workspace_id>", pages.workspace),
    path("api/v1/organizations/<str:organization_id>/members", views.MembersView.as_view()),
    path("api/v1/workspaces", views.WorkspacesView.as_view()),
    path("api/v1/workspaces/<str:workspace_id>", views.WorkspaceView.as_view()),
    path("api/v1/workspaces/<str:workspace_id>/members", views.WorkspaceMembersView.as_view()),
    path("api/v1/workspaces/<str:workspace_id>/members/<str:user_id>", views.WorkspaceMemberView.as_view()),
]
