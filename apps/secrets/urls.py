"""Addresses of secrets under ``/api/v1/``."""

from django.urls import include, path

from apps.core.routers import ApiRouter
from apps.secrets.views import SecretViewSet

router = ApiRouter()
router.register("secrets", SecretViewSet, basename="secret")

urlpatterns = [path("projects/<uuid:project_id>/", include(router.urls))]
