"""What requests about rules and preferences must look like, and how they are told."""

from typing import Any

from rest_framework import serializers

from accounts.bodies import TextField
from notifications.models import Notification, Preference, Rule


class ThrottleSerializer(serializers.Serializer[Any]):
    """At most `limit` events in `seconds`, for each recipient."""

    limit = serializers.IntegerField(min_value=1, max_value=1_000_000)
    seconds = serializers.IntegerField(min_value=1)


class DigestSerializer(serializers.Serializer[Any]):
    """What happens within `seconds` is told together."""

    seconds = serializers.IntegerField(min_value=1)


class RuleFieldsSerializer(serializers.Serializer[Any]):
    """The body of a new rule; a change names only what changes. What each may say is known to `notifications.rules`."""

    name = TextField()
    pattern = TextField()
    condition = TextField(required=False, allow_blank=True)
    priority = serializers.ChoiceField(choices=Notification.Priority.choices, required=False)
    title = TextField()
    body = TextField(required=False, allow_blank=True)
    action_url = TextField(required=False, allow_blank=True)
    channels = serializers.ListField(child=TextField(), max_length=10)
    recipients = serializers.ListField(child=TextField(), max_length=100)
    throttle = ThrottleSerializer(required=False, allow_null=True)
    digest = DigestSerializer(required=False, allow_null=True)
    always = serializers.BooleanField(required=False)
    enabled = serializers.BooleanField(required=False)

    def to_fields(self) -> dict[str, Any]:
        """The fields of the rule that were named."""
        fields = dict(self.validated_data)
        if "throttle" in fields:
            throttle = fields.pop("throttle") or {}
            fields |= {"throttle_limit": throttle.get("limit"), "throttle_seconds": throttle.get("seconds")}
        if "digest" in fields:
            fields["digest_seconds"] = (fields.pop("digest") or {}).get("seconds")
        return fields


class NewRuleSerializer(RuleFieldsSerializer):
    """The body of a new rule, for the OpenAPI document: `organization` may be in it or in the query."""

    organization = TextField(required=False)


class RuleSerializer(serializers.Serializer[Rule]):
    """A rule as those see it who may."""

    id = serializers.UUIDField()
    organization = serializers.CharField(source="organization.public_id")
    builtin = serializers.CharField()
    owner = serializers.CharField(source="owner.public_id", allow_null=True, default=None)
    name = serializers.CharField()
    pattern = serializers.CharField()
    condition = serializers.CharField()
    priority = serializers.CharField()
    title = serializers.CharField()
    body = serializers.CharField()
    action_url = serializers.CharField()
    channels = serializers.ListField(child=serializers.CharField())
    recipients = serializers.ListField(child=serializers.CharField())
    throttle = serializers.SerializerMethodField()
    digest = serializers.SerializerMethodField()
    always = serializers.BooleanField()
    enabled = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    failure = serializers.CharField()
    failed_at = serializers.DateTimeField(allow_null=True)

    def get_throttle(self, rule: Rule) -> dict[str, Any] | None:
        """`{limit, seconds}`, or null."""
        return {"limit": rule.throttle_limit, "seconds": rule.throttle_seconds} if rule.throttle_limit else None

    def get_digest(self, rule: Rule) -> dict[str, Any] | None:
        """`{seconds}`, or null."""
        return {"seconds": rule.digest_seconds} if rule.digest_seconds else None


class ChoiceSerializer(serializers.Serializer[Any]):
    """One choice: of a rule (null: all), in a channel (empty: all); `enabled` null takes it back."""

    rule = serializers.UUIDField(required=False, allow_null=True, default=None)
    channel = TextField(required=False, allow_blank=True, default="")
    enabled = serializers.BooleanField(allow_null=True)


class QuietSerializer(serializers.Serializer[Any]):
    """Quiet hours: `begins` and `ends` as 22:00, by the clock of `time_zone`."""

    begins = serializers.TimeField(format="%H:%M")
    ends = serializers.TimeField(format="%H:%M")
    time_zone = TextField()


class PreferencesSerializer(serializers.Serializer[Any]):
    """The body of `PATCH /api/v1/notifications/preferences`; what is not named stays, `quiet` null ends the quiet hours."""

    choices = serializers.ListField(child=ChoiceSerializer(), required=False, max_length=500)
    quiet = QuietSerializer(required=False, allow_null=True)


def told_choice(choice: Preference) -> dict[str, Any]:
    """A choice as it is told."""
    return {"rule": str(choice.rule_id) if choice.rule_id else None, "channel": choice.channel, "enabled": choice.enabled}


class SubscriptionKeysSerializer(serializers.Serializer[Any]):
    """The keys of a browser's subscription."""

    p256dh = TextField(max_length=128)
    auth = TextField(max_length=64)


class SubscriptionSerializer(serializers.Serializer[Any]):
    """A browser's subscription as its `toJSON()` gives it."""

    endpoint = TextField()
    keys = SubscriptionKeysSerializer()
    expirationTime = serializers.FloatField(required=False, allow_null=True)  # noqa: N815 - the browser's name


class EndpointSerializer(serializers.Serializer[Any]):
    """Which browser."""

    endpoint = TextField()


class PreferencesToldSerializer(serializers.Serializer[Any]):
    """Preferences as they are told."""

    choices = ChoiceSerializer(many=True)
    quiet = QuietSerializer(allow_null=True)


class RecipientSerializer(serializers.Serializer[Any]):
    """Who would be told."""

    id = serializers.CharField()
    username = serializers.CharField()


class RehearsedSerializer(serializers.Serializer[Any]):
    """What a rule would have told of one event, or why it could not (`failure`)."""

    topic = serializers.CharField()
    timestamp = serializers.DateTimeField()
    failure = serializers.CharField(required=False)
    title = serializers.CharField(required=False)
    body = serializers.CharField(required=False)
    action_url = serializers.CharField(required=False)
    recipients = RecipientSerializer(many=True, required=False)
    recipient_count = serializers.IntegerField(required=False)


class RehearsalSerializer(serializers.Serializer[Any]):
    """A dry run of a rule."""

    looked_at = serializers.IntegerField()
    matched = serializers.IntegerField()
    results = RehearsedSerializer(many=True)
