"""Addresses of jobs: for people under ``/api/v1/``, for agents under ``/api/node/v1/``."""

from django.urls import path, register_converter

from apps.core.routers import ApiRouter
from apps.jobs import node_views
from apps.jobs.cluster_views import NodeViewSet, PoolViewSet
from apps.jobs.views import CatalogView, JobViewSet


class Sha256Converter:
    """A digest in lower-case hexadecimal."""

    regex = "[0-9a-f]{64}"

    def to_python(self, value: str) -> str:
        """Take the digest as it is."""
        return value

    def to_url(self, value: str) -> str:
        """Write the digest as it is."""
        return value


register_converter(Sha256Converter, "sha256")

router = ApiRouter()
router.register("jobs", JobViewSet, basename="job")
router.register("nodes", NodeViewSet, basename="node")
router.register("pools", PoolViewSet, basename="pool")

urlpatterns = [path("catalog/", CatalogView.as_view(), name="catalog"), *router.urls]

_ALLOCATION = "allocations/<uuid:allocation_id>"
_UPLOAD = f"{_ALLOCATION}/uploads/<uuid:upload_id>"

node_urlpatterns = [
    path("heartbeat", node_views.HeartbeatView.as_view(), name="node-heartbeat"),
    path(f"{_ALLOCATION}/claim", node_views.ClaimView.as_view(), name="node-claim"),
    path(f"{_ALLOCATION}/report", node_views.ReportView.as_view(), name="node-report"),
    path(f"{_ALLOCATION}/files/<sha256:sha256>", node_views.InputFileView.as_view(), name="node-file"),
    path(f"{_ALLOCATION}/secrets", node_views.SecretsView.as_view(), name="node-secrets"),
    path(f"{_ALLOCATION}/uploads", node_views.UploadsView.as_view(), name="node-uploads"),
    path(f"{_UPLOAD}/parts/<int:number>", node_views.UploadPartView.as_view(), name="node-upload-part"),
    path(f"{_UPLOAD}/finalise", node_views.FinaliseUploadView.as_view(), name="node-upload-finalise"),
]
