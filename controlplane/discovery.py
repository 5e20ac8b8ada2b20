"""Finds what apps offer by the names that every app uses, so that a new app is wired by existing."""

from importlib import import_module
from typing import Any

from django.apps import apps
from django.utils.module_loading import module_has_submodule


def patterns_of(module: str, attribute: str) -> list[Any]:
    """Join the lists named ``attribute`` in every app's ``module``, in the order of INSTALLED_APPS."""
    found: list[Any] = []
    for config in apps.get_app_configs():
        if config.name.startswith("apps.") and module_has_submodule(config.module, module):
            found += getattr(import_module(f"{config.name}.{module}"), attribute, [])
    return found
