"""Addresses of telemetry under ``/api/v1/``. Those of nodes are answered in ``asgi``, before Django."""

from django.urls import path

from apps.telemetry import views

urlpatterns = [
    path("jobs/<uuid:id>/metrics", views.SeriesView.as_view(), name="job-metrics"),
    path("jobs/<uuid:id>/metrics/points", views.PointsView.as_view(), name="job-metrics-points"),
    path("jobs/<uuid:id>/metrics/curves", views.CurvesView.as_view(), name="job-metrics-curves"),
    path("jobs/<uuid:id>/logs", views.LogView.as_view(), name="job-logs"),
    path("jobs/<uuid:id>/logs/tail", views.LogTailView.as_view(), name="job-logs-tail"),
    path("jobs/<uuid:id>/logs/download", views.LogDownloadView.as_view(), name="job-logs-download"),
    path("jobs/<uuid:id>/stream", views.StreamView.as_view(), name="job-stream"),
]
