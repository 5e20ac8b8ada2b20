"""Addresses of accounts under ``/api/v1/``."""

from django.urls import include, path

from apps.accounts import schema  # noqa: F401 - registers how OpenAPI names our ways to sign in
from apps.accounts.views import (
    LoginView,
    LogoutView,
    MemberViewSet,
    MeView,
    SessionView,
    TokenViewSet,
    WorkspaceViewSet,
)
from apps.core.routers import ApiRouter

router = ApiRouter()
router.register("tokens", TokenViewSet, basename="token")
router.register("workspaces", WorkspaceViewSet, basename="workspace")

members = ApiRouter()
members.register("members", MemberViewSet, basename="member")

urlpatterns = [
    path("auth/session", SessionView.as_view(), name="auth-session"),
    path("auth/login", LoginView.as_view(), name="auth-login"),
    path("auth/logout", LogoutView.as_view(), name="auth-logout"),
    path("me", MeView.as_view(), name="me"),
    path("workspaces/<uuid:workspace_id>/", include(members.urls)),
    *router.urls,
]
