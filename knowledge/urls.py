"""Addresses of knowledge."""

from django.urls import path

from knowledge import views
from knowledge.models import Source

_ATTACHMENT = Source.Purpose.ATTACHMENT

urlpatterns = [
    path("api/v1/sources", views.SourcesView.as_view()),
    path("api/v1/sources/<str:source_id>", views.SourceView.as_view()),
    path("api/v1/sources/<str:source_id>/reingest", views.ReingestView.as_view()),
    path("api/v1/sources/<str:source_id>/cancel", views.CancelView.as_view()),
    path("api/v1/sources/<str:source_id>/search", views.SearchView.as_view()),
    path("api/v1/attachments", views.SourcesView.as_view(purpose=_ATTACHMENT)),
    path("api/v1/attachments/<str:source_id>", views.SourceView.as_view(purpose=_ATTACHMENT)),
    path("api/v1/attachments/<str:source_id>/reingest", views.ReingestView.as_view(purpose=_ATTACHMENT)),
    path("api/v1/attachments/<str:source_id>/cancel", views.CancelView.as_view(purpose=_ATTACHMENT)),
]
