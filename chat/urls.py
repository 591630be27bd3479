"""Addresses of chat."""

from django.urls import path

from chat.views import approvals, pages, rag, rest, streams

urlpatterns = [
    path("", pages.chat, name="chat"),
    path("stream", streams.ask),
    path("approvals/<str:token>", approvals.link),
    path("api/v1/approvals", approvals.ApprovalsView.as_view()),
    path("api/v1/approvals/<str:approval_id>", approvals.ApprovalView.as_view()),
    path("api/v1/approvals/<str:approval_id>/decision", approvals.DecisionView.as_view()),
    path("api/v1/approvals/batches/<str:batch_id>/decision", approvals.BatchDecisionView.as_view()),
    path("api/messages/<str:message_id>/events", streams.events),
    path("api/messages/<str:message_id>/tail", streams.TailView.as_view()),
    path("api/messages/<str:message_id>/stop", streams.StopView.as_view()),
    path("api/v1/chat/stream", rag.stream),
    path("api/v1/chat/stream/<str:message_id>", rag.resume),
    path("api/v1/chat/complete", rag.complete),
    path("api/v1/chat/sessions", rest.SessionsView.as_view()),
    path("api/v1/chat/sessions/<str:name>", rest.SessionView.as_view()),
    path("api/v1/chat/sessions/<str:name>/messages", rest.SessionMessagesView.as_view()),
    path("api/v1/chat/sessions/<str:name>/participants", rest.SessionParticipantsView.as_view()),
    path("api/v1/chat/sessions/<str:name>/participants/<str:user_id>", rest.SessionParticipantView.as_view()),
    path("api/v1/chat/<str:application_id>/messages", rest.ApplicationMessagesView.as_view()),
    path("api/v1/conversations", rest.ConversationsView.as_view()),
    path("api/v1/conversations/<str:conversation_id>", rest.ConversationView.as_view()),
    path("api/v1/conversations/<str:conversation_id>/messages", rest.MessagesView.as_view()),
]
