"""Addresses of the cluster: for people under ``/api/v1/``, for agents under ``/api/node/v1/``."""

from django.urls import path

from apps.cluster.node_views import JoinView
from apps.cluster.views import JoinTokenViewSet
from apps.core.routers import ApiRouter

router = ApiRouter()
router.register("join-tokens", JoinTokenViewSet, basename="join-token")

urlpatterns = router.urls

node_urlpatterns = [path("join", JoinView.as_view(), name="node-join")]
