"""How join tokens travel."""

from rest_framework import serializers

from apps.cluster.models import JoinToken
from apps.core.serializers import InputSerializer

_POOL_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


class JoinTokenSerializer(serializers.ModelSerializer[JoinToken]):
    """A join token without its secret."""

    pool = serializers.CharField(source="pool.name", allow_null=True, default=None)
    used_by = serializers.CharField(source="used_by.name", allow_null=True, default=None)

    class Meta:
        model = JoinToken
        fields = ("id", "name", "prefix", "pool", "is_reusable", "created_at", "expires_at", "used_at", "used_by")
        read_only_fields = fields


class CreateJoinTokenSerializer(InputSerializer):
    """A new join token."""

    name = serializers.CharField(max_length=80)
    pool = serializers.RegexField(_POOL_NAME, required=False, allow_null=True)
    is_reusable = serializers.BooleanField(required=False)
    expires_in_s = serializers.FloatField(min_value=1, max_value=10 * 365 * 86_400, required=False, allow_null=True)


class NewJoinTokenSerializer(JoinTokenSerializer):
    """A join token with its secret, shown this once."""

    token = serializers.SerializerMethodField()

    class Meta(JoinTokenSerializer.Meta):
        fields = (*JoinTokenSerializer.Meta.fields, "token")  # type: ignore[assignment]
        read_only_fields = fields  # type: ignore[assignment]

    def get_token(self, token: JoinToken) -> str:
        """Return the secret that the view hands over beside the row."""
        secret: str = self.context["secret"]
        return secret
