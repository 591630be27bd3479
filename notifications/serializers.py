"""What requests about notifications must look like, and how notifications are told."""

from typing import Any

from rest_framework import serializers

from accounts.bodies import TextField
from notifications.conf import conf
from notifications.inbox import Action, Chosen, state_of
from notifications.models import Notification

STATES = ("unseen", "seen", "read", "archived", "unread")
"""What a list can be asked for."""


class NewNotificationSerializer(serializers.Serializer[Any]):
    """The body of `POST /api/v1/notifications`. How long each text may be is known to `notifications.services.notify`."""

    user = TextField(required=False)
    users = serializers.ListField(child=TextField(), required=False, allow_empty=False)
    title = TextField()
    body = TextField(required=False, allow_blank=True, default="")
    action_url = TextField(required=False, allow_blank=True, default="")
    priority = serializers.ChoiceField(choices=Notification.Priority.choices, default=Notification.Priority.NORMAL)
    idempotency_key = TextField(required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """`user` or `users`, as one list, and not too long a one."""
        if ("user" in attrs) == ("users" in attrs):
            raise serializers.ValidationError("Give either user (a user's id) or users (a list of them).")
        users = attrs.pop("users", None) or [attrs.pop("user")]
        most = conf.NOTIFICATIONS_RECIPIENTS_MAX
        if len(users) > most:
            raise serializers.ValidationError(f"At most {most} users can be notified at once, not {len(users)}.")
        return attrs | {"users": users}


class NotificationSerializer(serializers.Serializer[Notification]):
    """A notification as its user sees it."""

    id = serializers.UUIDField()
    title = serializers.CharField()
    body = serializers.CharField()
    action_url = serializers.CharField()
    priority = serializers.CharField()
    state = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    seen_at = serializers.DateTimeField(allow_null=True)
    read_at = serializers.DateTimeField(allow_null=True)
    archived_at = serializers.DateTimeField(allow_null=True)

    def get_state(self, row: Notification) -> str:
        """One of unseen, seen, read, archived."""
        return str(state_of(row))


class ActionSerializer(serializers.Serializer[Any]):
    """The body of `POST /api/v1/notifications/actions`: what to do, and with which."""

    action = serializers.ChoiceField(choices=[str(each) for each in Action])
    ids = serializers.ListField(child=serializers.UUIDField(format="hex_verbose"), required=False, allow_empty=False)
    all = serializers.BooleanField(required=False, default=False)
    state = TextField(required=False, allow_blank=True, default="")
    until = serializers.DateTimeField(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """`ids`, or really all: an empty body must not delete an inbox."""
        if ("ids" in attrs) == attrs["all"]:
            raise serializers.ValidationError('Give either ids (a list) or "all": true.')
        most = conf.NOTIFICATIONS_ACTION_MAX
        if len(attrs.get("ids", ())) > most:
            raise serializers.ValidationError(f'At most {most} ids are accepted at once. For more, send "all": true.')
        if "ids" in attrs and (attrs["state"] or attrs["until"]):
            raise serializers.ValidationError('state and until go with "all": true; ids need neither.')
        return attrs

    def to_chosen(self) -> Chosen:
        """Which notifications are meant."""
        asked = self.validated_data
        return Chosen(ids=asked.get("ids"), state=asked["state"], until=asked["until"])


class StateCountsSerializer(serializers.Serializer[Any]):
    """How many notifications are in each state; `unread`: unseen and seen."""

    unseen = serializers.IntegerField()
    seen = serializers.IntegerField()
    read = serializers.IntegerField()
    archived = serializers.IntegerField()
    unread = serializers.IntegerField()


class CountsSerializer(serializers.Serializer[Any]):
    """`{counts}`."""

    counts = StateCountsSerializer()


class NotificationPageSerializer(CountsSerializer):
    """A page of the inbox, and the counts."""

    results = NotificationSerializer(many=True)
    next = serializers.CharField(allow_null=True)
