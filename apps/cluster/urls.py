"""Addresses of the cluster: for people under ``/api/v1/``, for agents under ``/api/node/v1/``."""

from django.urls import path

from apps.cluster.node_views import JoinView

urlpatterns: list[object] = []

node_urlpatterns = [path("join", JoinView.as_view(), name="node-join")]
