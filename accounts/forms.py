"""Log-in forms with the limit on password attempts."""

import math
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from rest_framework.exceptions import Throttled

from accounts import services, throttle
from accounts.exceptions import TooManyApiKeys
from accounts.models import ApiKey


class LimitedAttempts(forms.Form):
    """Counts an attempt before the form to its right looks at the password."""

    retry_after: int | None = None
    """Seconds to wait, when the attempt was refused without looking."""

    def clean(self) -> Any:
        """As the form that this is mixed into; a form error instead of Throttled."""
        username, request = self.cleaned_data.get("username"), getattr(self, "request", None)
        if not username or request is None:
            return super().clean()
        address = request.META.get("REMOTE_ADDR") or ""
        try:
            throttle.count_attempt(username=username, address=address)
        except Throttled as error:
            self.retry_after = math.ceil(error.wait or 1)  # type: ignore[attr-defined]
            raise ValidationError(f"Too many attempts. Try again in {self.retry_after} seconds.", code="throttled") from error
        cleaned = super().clean()
        throttle.forget_attempts(username=username, address=address)
        return cleaned


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic when it runs
    """The admin's form for a new key."""

    class Meta:
        model = ApiKey
        fields = ("user", "name")

    def clean(self) -> dict[str, Any] | None:
        """Refuses a key too many here, where it can be said beside the field."""
        cleaned = super().clean()
        user = self.cleaned_data.get("user")
        if user is not None and services.has_all_api_keys(user_pk=user.pk):
            raise ValidationError({"user": f"{TooManyApiKeys.default_detail}"})
        return cleaned


class LoginForm(LimitedAttempts, AuthenticationForm):
    """The log-in page's form."""


class AdminLoginForm(LimitedAttempts, AdminAuthenticationForm):
    """The admin's log-in form."""
