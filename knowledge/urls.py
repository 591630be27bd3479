"""Addresses of knowledge."""

from django.urls import path

from knowledge import views

urlpatterns = [
    path("api/v1/sources", views.SourcesView.as_view()),
    path("api/v1/sources/<str:source_id>", views.SourceView.as_view()),
    path("api/v1/sources/<str:source_id>/reingest", views.ReingestView.as_view()),
    path("api/v1/sources/<str:source_id>/cancel", views.CancelView.as_view()),
    path("api/v1/sources/<str:source_id>/search", views.SearchView.as_view()),
    path("api/v1/attachments", views.AttachmentsView.as_view()),
    path("api/v1/attachments/<str:source_id>", views.AttachmentView.as_view()),
    path("api/v1/attachments/<str:source_id>/reingest", views.ReingestAttachmentView.as_view()),
    path("api/v1/attachments/<str:source_id>/cancel", views.CancelAttachmentView.as_view()),
]
