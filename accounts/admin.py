"""Accounts in the admin."""

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from accounts import services
from accounts.forms import AdminLoginForm, ApiKeyForm
from accounts.models import ApiKey, Membership, Organization, User

admin.site.login_form = AdminLoginForm


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]  # not generic when it runs
    """Who belongs to what."""

    model = Membership
    extra = 0
    autocomplete_fields = ("user", "organization")


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """Users, with their public id and organisations."""

    list_display = ("username", "public_id", "is_active", "is_staff", "last_login")
    search_fields = ("username", "public_id", "email")
    readonly_fields = ("public_id",)
    fieldsets = (*(DjangoUserAdmin.fieldsets or ()), ("Throughline", {"fields": ("public_id",)}))
    inlines = (MembershipInline,)


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """Organisations and their members."""

    list_display = ("public_id", "name")
    search_fields = ("public_id", "name")
    inlines = (MembershipInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Organization | None = None) -> tuple[str, ...]:  # noqa: ARG002 - Django's signature
        """Topics and tokens name the public id: it stays once given."""
        return ("public_id",) if obj else ()


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """API keys: made here they are shown once; afterwards they can only be revoked."""

    list_display = ("name", "prefix", "user", "created_at", "revoked_at")
    list_filter = ("revoked_at",)
    search_fields = ("name", "prefix", "user__username", "user__public_id")
    list_select_related = ("user",)
    autocomplete_fields = ("user",)
    form = ApiKeyForm
    fields = ("user", "name")
    actions = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """The list, with its action, but no editing of a key."""
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:  # noqa: ARG002 - Django's signature
        """Never: a revoked key stays, so that it can be seen that there was one."""
        return False

    def save_model(self, request: HttpRequest, obj: ApiKey, form: "ModelForm[ApiKey]", change: bool) -> None:  # noqa: ARG002 - Django's signature
        """Make the key, and show it this one time."""
        made = services.issue_api_key(user_pk=obj.user.pk, name=obj.name)
        obj.pk, obj.prefix = made.row.pk, made.row.prefix
        messages.warning(request, f"The new API key, shown only now: {made.key}")

    @admin.action(description="Revoke selected API keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """End the selected keys."""
        count = services.revoke_api_keys(keys=queryset)
        self.message_user(request, f"{count} API keys were revoked.")
