"""Addresses of chat."""

from django.urls import path

from chat.views import approvals, job_sessions, jobs, pages, rag, rest, streams

urlpatterns = [
    path("", pages.chat, name="chat"),
    path("stream", streams.ask),
    path("approvals", approvals.page, name="approvals"),
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
    path("v1/chat", jobs.complete),
    path("v1/chat/async", jobs.begin),
    path("v1/chat/<str:session_id>/stream", jobs.stream),
    path("v1/chat/<str:session_id>/approve", jobs.approve),
    path("v1/jobs", jobs.JobsView.as_view()),
    path("v1/jobs/<str:job_id>", jobs.JobView.as_view()),
    path("v1/jobs/<str:job_id>/cancel", jobs.CancelView.as_view()),
    path("v1/sessions", job_sessions.JobSessionsView.as_view()),
    path("v1/sessions/<str:session_id>/history", job_sessions.HistoryView.as_view()),
    path("v1/sessions/<str:session_id>/jobs", jobs.SessionJobsView.as_view()),
    path("v1/sessions/<str:session_id>/revert", job_sessions.RevertView.as_view()),
    path("v1/sessions/<str:session_id>/document", job_sessions.DocumentView.as_view()),
    path("v1/sessions/<str:session_id>/versions", job_sessions.VersionsView.as_view()),
    path("api/v1/conversations", rest.ConversationsView.as_view()),
    path("api/v1/conversations/<str:conversation_id>", rest.ConversationView.as_view()),
    path("api/v1/conversations/<str:conversation_id>/messages", rest.MessagesView.as_view()),
]
