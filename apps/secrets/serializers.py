"""How secrets travel: in with their value, out without."""

from rest_framework import serializers

from apps.core.serializers import InputSerializer
from apps.secrets.models import Secret
from apps.secrets.services import MAX_BYTES


class SecretSerializer(serializers.ModelSerializer[Secret]):
    """That a secret exists. Its value is readable nowhere."""

    set_by = serializers.CharField(source="set_by.username", allow_null=True, read_only=True)

    class Meta:
        model = Secret
        fields = ("id", "name", "set_by", "set_at", "created_at")
        read_only_fields = fields


class SetSecretSerializer(InputSerializer):
    """The value of a secret."""

    value = serializers.CharField(max_length=MAX_BYTES, trim_whitespace=False, write_only=True)
