"""Addresses of the registry under ``/api/v1/``."""

from django.urls import path

from apps.core.routers import ApiRouter
from apps.model_registry.views import ModelVersionViewSet, ModelViewSet, VersionsOfModelViewSet

router = ApiRouter()
router.register("models", ModelViewSet, basename="model")
router.register("model-versions", ModelVersionViewSet, basename="model-version")

urlpatterns = [
    path(
        "models/<uuid:id>/versions",
        VersionsOfModelViewSet.as_view({"get": "list", "post": "create"}),
        name="model-versions-of-model",
    ),
    *router.urls,
]
