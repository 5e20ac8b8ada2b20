"""Addresses of projects under ``/api/v1/``."""

from apps.core.routers import ApiRouter
from apps.projects.views import ProjectViewSet

router = ApiRouter()
router.register("projects", ProjectViewSet, basename="project")

urlpatterns = router.urls
