"""Addresses of the storage under ``/api/v1/``."""

from apps.core.routers import ApiRouter
from apps.storage.views import UploadViewSet

router = ApiRouter()
router.register("uploads", UploadViewSet, basename="upload")

urlpatterns = router.urls
