"""What comes in as JSON, taken as the schema says: no unknown key, and no value of another type.

REST framework was made for HTML forms, so it drops keys that it does not know and reads ``"3"``, ``3`` and ``true``
alike. Here a key that is misspelt, or a number where text belongs, is told to whoever sent it.
"""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

_JSON_TYPES: tuple[tuple[type[Any], tuple[type[Any], ...], str], ...] = (
    (serializers.BooleanField, (bool,), "true or false"),
    (serializers.IntegerField, (int, float), "a whole number"),
    (serializers.FloatField, (int, float), "a number"),
    (serializers.CharField, (str,), "text"),
    (serializers.UUIDField, (str,), "text"),
    (serializers.DateTimeField, (str,), "text"),
    (serializers.ChoiceField, (str,), "text"),
)


class InputSerializer(serializers.Serializer[Any]):
    """The body of a request."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Refuse what the schema does not name, before the fields look at the rest."""
        if isinstance(data, Mapping):
            writable = {name: field for name, field in self.fields.items() if not field.read_only}
            errors = {
                str(key): [f"There is no such field; possible: {', '.join(sorted(writable)) or 'none'}."]
                for key in data
                if key not in writable
            }
            for name, field in writable.items():
                if name in data and (message := _type_error(field, data[name])):
                    errors[name] = [message]
            if errors:
                raise serializers.ValidationError(errors)
        values: dict[str, Any] = super().to_internal_value(data)
        return values


def _type_error(field: Any, value: object) -> str:
    """Say what a value should be; empty when its JSON type is right."""
    if value is None:
        return ""  # the field knows whether it may be null
    if isinstance(field, serializers.ListField):
        children = value if isinstance(value, list) else ()
        return next((message for child in children if (message := _type_error(field.child, child))), "")
    for kind, types, wanted in _JSON_TYPES:
        if isinstance(field, kind):
            is_right = isinstance(value, types) and (bool in types or not isinstance(value, bool))
            return "" if is_right else f"Must be {wanted}."
    return ""
