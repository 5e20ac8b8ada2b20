"""How users, workspaces, members and tokens travel."""

from typing import Any

from rest_framework import serializers

from apps.accounts.models import ApiToken, Membership, Role, Scope, User, Workspace
from apps.core.serializers import InputSerializer


class LoginSerializer(InputSerializer):
    """Name and password."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1024, trim_whitespace=False, write_only=True)


class MemberWorkspaceSerializer(serializers.ModelSerializer[Membership]):
    """A workspace as its member sees it."""

    id = serializers.UUIDField(source="workspace.id")
    name = serializers.CharField(source="workspace.name")

    class Meta:
        model = Membership
        fields = ("id", "name", "role")


class UserSerializer(serializers.ModelSerializer[User]):
    """A person, to themselves."""

    email = serializers.CharField(read_only=True, help_text="Empty where none was given.")
    workspaces = MemberWorkspaceSerializer(source="memberships", many=True, read_only=True)

    class Meta:
        model = User
        fields = ("id", "username", "first_name", "last_name", "email", "is_staff", "is_superuser", "workspaces")
        read_only_fields = fields


class SessionSerializer(serializers.Serializer[Any]):
    """Whether the browser is signed in, and the token that its unsafe requests carry."""

    authenticated = serializers.BooleanField()
    user = UserSerializer(allow_null=True)
    csrf_token = serializers.CharField()


class WorkspaceSerializer(serializers.ModelSerializer[Workspace]):
    """A workspace and the caller's role in it."""

    role = serializers.SerializerMethodField()

    class Meta:
        model = Workspace
        fields = ("id", "name", "role", "created_at", "updated_at")
        read_only_fields = fields

    def get_role(self, workspace: Workspace) -> Role | None:
        """Return the caller's role; administrators are owners everywhere."""
        user = self.context["request"].user
        if user.is_superuser:
            return Role.OWNER
        return next((Role(item.role) for item in workspace.memberships.all() if item.user_id == user.pk), None)


class NameWorkspaceSerializer(InputSerializer):
    """What a workspace is called."""

    name = serializers.CharField(max_length=80)


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    """A member."""

    user = serializers.UUIDField(source="user_id", read_only=True)
    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = Membership
        fields = ("id", "user", "username", "role", "created_at")
        read_only_fields = ("id", "created_at")


class AddMemberSerializer(InputSerializer):
    """Whom to let in, and as what."""

    username = serializers.CharField(max_length=150)
    role = serializers.ChoiceField(choices=Role.choices)


class ChangeRoleSerializer(InputSerializer):
    """A member's new role."""

    role = serializers.ChoiceField(choices=Role.choices)


class ApiTokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token without its secret."""

    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices), read_only=True)

    class Meta:
        model = ApiToken
        fields: tuple[str, ...] = ("id", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at")
        read_only_fields = fields


class CreateTokenSerializer(InputSerializer):
    """What the new token may do, and for how long."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices), min_length=1, max_length=3, required=False
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class NewTokenSerializer(ApiTokenSerializer):
    """A token with its secret, shown this once."""

    token = serializers.SerializerMethodField()

    class Meta(ApiTokenSerializer.Meta):
        fields: tuple[str, ...] = (*ApiTokenSerializer.Meta.fields, "token")
        read_only_fields = fields

    def get_token(self, token: ApiToken) -> str:
        """Return the secret that the view hands over beside the row."""
        secret: str = self.context["secret"]
        return secret
