"""Addresses of datasets under ``/api/v1/``."""

from django.urls import path

from apps.core.routers import ApiRouter
from apps.datasets.views import DatasetVersionsViewSet, DatasetVersionViewSet, DatasetViewSet

router = ApiRouter()
router.register("datasets", DatasetViewSet, basename="dataset")
router.register("dataset-versions", DatasetVersionViewSet, basename="dataset-version")

urlpatterns = [
    path(
        "datasets/<uuid:id>/versions",
        DatasetVersionsViewSet.as_view({"get": "list", "post": "create"}),
        name="dataset-versions",
    ),
    *router.urls,
]
