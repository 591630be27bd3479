"""Workspaces in the admin; and organisations, so that adding a member there is told as it is everywhere."""

from typing import Any

from django.contrib import admin
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest

from accounts.admin import OrganizationAdmin, UserAdmin
from accounts.models import Membership, Organization, User
from workspaces import members, memberships
from workspaces.models import Workspace, WorkspaceMember


def _added_or_changed(formset: "BaseModelFormSet[Any, Any]") -> list[Any]:
    return [*formset.new_objects, *(row for row, _ in formset.changed_objects)]


def _public_id(request: HttpRequest) -> str:
    return str(getattr(request.user, "public_id", ""))


class WorkspaceMemberInline(admin.TabularInline):  # type: ignore[type-arg]  # not generic when it runs
    """Who belongs to a workspace."""

    model = WorkspaceMember
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Workspace)
class WorkspaceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """Workspaces and their members."""

    list_display = ("public_id", "name", "organization")
    search_fields = ("public_id", "name", "organization__public_id")
    list_select_related = ("organization",)
    autocomplete_fields = ("organization",)
    inlines = (WorkspaceMemberInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Workspace | None = None) -> tuple[str, ...]:  # noqa: ARG002 - Django's signature
        """Topics and addresses name the public id: it stays once given."""
        return ("public_id",) if obj else ()

    def save_formset(
        self,
        request: HttpRequest,
        form: "ModelForm[Any]",  # noqa: ARG002 - Django's signature
        formset: "BaseModelFormSet[Any, Any]",
        change: bool,  # noqa: ARG002 - Django's signature
    ) -> None:
        """By the service, which tells of new members; of those that go the receiver tells."""
        formset.save(commit=False)
        for gone in formset.deleted_objects:
            gone.delete()
        for row, fields in formset.changed_objects:
            if set(fields) != {"role"}:
                # Another user was chosen in the row: one membership ends and another begins.
                WorkspaceMember.objects.filter(pk=row.pk).delete()
        for row in _added_or_changed(formset):
            members.enrol(workspace=row.workspace, user=row.user, role=row.role, added_by=_public_id(request))


class EnrollingAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic when it runs
    """Saves memberships by the service, which tells new members."""

    def save_formset(
        self,
        request: HttpRequest,
        form: "ModelForm[Any]",
        formset: "BaseModelFormSet[Any, Any]",
        change: bool,
    ) -> None:
        """As Django's, but for memberships."""
        if formset.model is not Membership:
            super().save_formset(request, form, formset, change)
            return
        formset.save(commit=False)
        for gone in formset.deleted_objects:
            memberships.end(organization=gone.organization, user=gone.user)
        for row, fields in formset.changed_objects:
            if set(fields) != {"role"}:
                # Another user or organisation was chosen in the row: one membership ends and another begins.
                before = Membership.objects.select_related("organization", "user").get(pk=row.pk)
                memberships.end(organization=before.organization, user=before.user)
        for row in _added_or_changed(formset):
            memberships.enrol(organization=row.organization, user=row.user, role=row.role, added_by=_public_id(request))


# In the place of those of accounts, which may not know of events.
admin.site.unregister([User, Organization])


@admin.register(User)
class EnrollingUserAdmin(EnrollingAdmin, UserAdmin):
    """Users, with their organisations."""


@admin.register(Organization)
class EnrollingOrganizationAdmin(EnrollingAdmin, OrganizationAdmin):
    """Organisations, with their members."""
