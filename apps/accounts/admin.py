"""The admin console's pages of accounts."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import services
from apps.accounts.models import ApiToken, Membership, Role, User, Workspace
from apps.accounts.selectors import memberships
from apps.core import events
from apps.core.admin import InvariantAdmin, ReadOnlyAdmin

admin.site.unregister(Group)  # rights are roles in workspaces


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """People: deactivated, never deleted."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "first_name", "last_name", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser", "is_staff")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "password1", "password2")}),)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """History names people: they are deactivated."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: "ModelForm[User]", change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Save, and record who changed what."""
        super().save_model(request, obj, form, change)
        fields = sorted(set(form.changed_data) - {"password", "password1", "password2"})
        after = {
            name: form.cleaned_data[name] for name in fields if isinstance(form.cleaned_data.get(name), (str, bool))
        }
        actor = request.user if isinstance(request.user, User) else None
        events.record(obj, action="user.change" if change else "user.create", actor=actor, after=after)


class KeepsAnOwner(BaseInlineFormSet):  # type: ignore[type-arg]  # unparametrised at run time
    """Refuses, as the REST API does, to leave a workspace without an owner."""

    def clean(self) -> None:
        """Count the owners that would be left."""
        super().clean()
        kept = [form.cleaned_data for form in self.forms if form.cleaned_data and not form.cleaned_data.get("DELETE")]
        if self.instance.pk and not any(member.get("role") == Role.OWNER for member in kept):
            raise ValidationError("A workspace keeps at least one owner: make another member an owner first.")


class MembershipInline(TabularInline):
    """A workspace's members."""

    model = Membership
    formset = KeepsAnOwner
    extra = 0
    autocomplete_fields = ("user",)
    fields = ("user", "role")


@admin.register(Workspace)
class WorkspaceAdmin(ModelAdmin):
    """Workspaces with their members."""

    list_display = ("name", "num_members", "created_at")
    search_fields = ("name",)
    inlines = (MembershipInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workspace]:
        """Read the members with the page."""
        rows: QuerySet[Workspace] = super().get_queryset(request)
        return rows.prefetch_related("memberships")

    @admin.display(description="Members")
    def num_members(self, workspace: Workspace) -> int:
        """Count the members."""
        return len(workspace.memberships.all())

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Removed over REST, which checks that it is empty."""
        return False

    def save_related(self, request: Any, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001 - Django's signature
        """Save the members, and record who is in now."""
        super().save_related(request, form, formsets, change)
        members = {item.user.username: item.role for item in memberships(form.instance.pk)}
        events.record(form.instance, action="workspace.members", actor=request.user, after=members)


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    """Who is where; changed on the workspace's page."""

    list_display = ("user", "workspace", "role", "created_at")
    list_filter = ("role", "workspace")
    search_fields = ("user__username", "workspace__name")
    list_select_related = ("user", "workspace")


@admin.register(ApiToken)
class ApiTokenAdmin(InvariantAdmin):
    """Keys of programs: shown without their secret, revoked here."""

    list_display = ("name", "user", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("revoked_at", "expires_at")
    search_fields = ("name", "prefix", "user__username")
    list_select_related = ("user",)
    ordering = ("-id",)
    actions = ("revoke",)

    @admin.action(description="Revoke the selected tokens")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Close the selected tokens for good."""
        actor = request.user if isinstance(request.user, User) else None
        for token in queryset:
            services.revoke_token(token=token, actor=actor)
        messages.success(request, f"Revoked: {', '.join(token.name for token in queryset)}.")
