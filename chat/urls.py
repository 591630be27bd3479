"""Addresses of chat."""

from django.urls import path

from chat.views import pages, rag, rest, streams

urlpatterns = [
    path("", pages.chat, name="chat"),
    path("stream", streams.ask),
    path("api/messages/<str:message_id>/events", streams.events),
    path("api/messages/<str:message_id>/tail", streams.TailView.as_view()),
    path("api/messages/<str:message_id>/stop", streams.StopView.as_view()),
    path("api/v1/chat/stream", rag.stream),
    path("api/v1/chat/stream/<str:message_id>", rag.resume),
    path("api/v1/chat/complete", rag.complete),
    path("api/v1/conversations", rest.ConversationsView.as_view()),
    path("api/v1/conversations/<str:conversation_id>", rest.ConversationView.as_view()),
    path("api/v1/conversations/<str:conversation_id>/messages", rest.MessagesView.as_view()),
]
