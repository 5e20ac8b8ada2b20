"""Sign-in, the caller, their tokens, workspaces and members. Parses, calls one service, serializes."""

from typing import Any
from uuid import UUID

from django.contrib.auth import authenticate, login, logout
from django.db.models import QuerySet
from django.middleware.csrf import get_token
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import SAFE_METHODS, AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from apps.accounts import selectors, services
from apps.accounts.authentication import BrowserAuthentication
from apps.accounts.models import ApiToken, Membership, Role, Scope, User, Workspace
from apps.accounts.serializers import (
    AddMemberSerializer,
    ApiTokenSerializer,
    ChangeRoleSerializer,
    CreateTokenSerializer,
    LoginSerializer,
    MembershipSerializer,
    NameWorkspaceSerializer,
    NewTokenSerializer,
    SessionSerializer,
    UserSerializer,
    WorkspaceSerializer,
)
from apps.core.errors import Forbidden, NotFound
from apps.core.permissions import IsSuperuser


class SessionView(APIView):
    """The state of the browser's session."""

    permission_classes = (AllowAny,)

    @extend_schema(operation_id="auth_session", responses=SessionSerializer)
    def get(self, request: Request) -> Response:
        """Tell who is signed in, and hand out the CSRF token."""
        return Response(_session(request))


class LoginView(APIView):
    """Opens a session."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="auth_login", request=LoginSerializer, responses=SessionSerializer)
    def post(self, request: Request) -> Response:
        """Sign in with name and password; after repeated failures the name is locked out for a while."""
        BrowserAuthentication().enforce_csrf(
            request._request
        )  # another site must not sign a browser in as its own user
        form = LoginSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        user = authenticate(request._request, **form.validated_data)
        if user is None:
            # the same words whether or not the name exists; a lock-out is answered by apps.accounts.lockout
            raise Forbidden(
                "The name or the password is wrong.",
                code="login_failed",
                remedy="Check both; passwords are case sensitive.",
            )
        login(request._request, user)
        request.user = user
        return Response(_session(request))


class LogoutView(APIView):
    """Closes the session."""

    @extend_schema(operation_id="auth_logout", request=None, responses=SessionSerializer)
    def post(self, request: Request) -> Response:
        """Sign out. An API token is not affected."""
        logout(request._request)
        return Response({"authenticated": False, "user": None, "csrf_token": get_token(request._request)})


class MeView(APIView):
    """The caller."""

    @extend_schema(operation_id="me", responses=UserSerializer)
    def get(self, request: Request) -> Response:
        """Tell who the caller is, and where they are a member."""
        return Response(UserSerializer(_user(request)).data)


@extend_schema_view(list=extend_schema(responses=ApiTokenSerializer(many=True)))
class TokenViewSet(ListModelMixin, GenericViewSet[ApiToken]):
    """The caller's own API tokens."""

    serializer_class = ApiTokenSerializer
    write_scope = Scope.ADMIN
    ordering_fields = ("created_at", "name", "expires_at", "last_used_at")

    def get_queryset(self) -> QuerySet[ApiToken]:
        """Select the caller's tokens."""
        return selectors.own_tokens(self.request.user)

    @extend_schema(request=CreateTokenSerializer, responses={201: NewTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a token. Its secret is in this answer and never shown again."""
        form = CreateTokenSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        made = services.create_token(actor=_user(request), **form.validated_data)
        return Response(NewTokenSerializer(made.token, context={"secret": made.secret}).data, status=201)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Revoke a token."""
        services.revoke_token(token=self.get_object(), actor=_user(request))
        return Response(status=204)


class WorkspaceViewSet(ListModelMixin, RetrieveModelMixin, GenericViewSet[Workspace]):
    """Workspaces the caller may see."""

    serializer_class = WorkspaceSerializer
    write_role = Role.OWNER
    write_scope = Scope.ADMIN
    ordering_fields = ("name", "created_at")

    def get_queryset(self) -> QuerySet[Workspace]:
        """Select the caller's workspaces."""
        return selectors.visible_workspaces(self.request.user).prefetch_related("memberships")

    @extend_schema(request=NameWorkspaceSerializer, responses={201: WorkspaceSerializer})
    def create(self, request: Request) -> Response:
        """Make a workspace; for administrators of the installation."""
        if not IsSuperuser().has_permission(request, self):
            raise Forbidden("Only an administrator makes workspaces.", remedy="Ask an administrator for one.")
        form = NameWorkspaceSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        workspace = services.create_workspace(actor=_user(request), name=form.validated_data["name"])
        return Response(self.get_serializer(workspace).data, status=201)

    @extend_schema(request=NameWorkspaceSerializer, responses=WorkspaceSerializer)
    def partial_update(self, request: Request, pk: UUID) -> Response:
        """Rename a workspace."""
        workspace = self.get_object()
        form = NameWorkspaceSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        services.rename_workspace(workspace=workspace, actor=_user(request), name=form.validated_data["name"])
        return Response(self.get_serializer(workspace).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: UUID) -> Response:
        """Remove an empty workspace."""
        services.delete_workspace(workspace=self.get_object(), actor=_user(request))
        return Response(status=204)


class MemberViewSet(ListModelMixin, GenericViewSet[Membership]):
    """Members of one workspace."""

    serializer_class = MembershipSerializer
    write_role = Role.OWNER
    write_scope = Scope.ADMIN
    ordering_fields = ("created_at", "role")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the workspace of the address before anything else is read."""
        super().initial(request, *args, **kwargs)
        workspace = selectors.visible_workspaces(request.user).filter(pk=kwargs["workspace_id"]).first()
        if workspace is None:
            raise NotFound("There is no such workspace.")
        role = Role.VIEWER if request.method in SAFE_METHODS else self.write_role
        selectors.require_role(request.user, workspace, role)
        self.workspace = workspace

    def get_queryset(self) -> QuerySet[Membership]:
        """Select the members."""
        if getattr(self, "swagger_fake_view", False):
            return Membership.objects.none()
        return selectors.memberships(self.kwargs["workspace_id"])

    @extend_schema(request=AddMemberSerializer, responses={201: MembershipSerializer})
    def create(self, request: Request, workspace_id: UUID) -> Response:
        """Let a user in."""
        form = AddMemberSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        member = services.add_member(workspace=self.workspace, actor=_user(request), **form.validated_data)
        return Response(MembershipSerializer(member).data, status=201)

    @extend_schema(request=ChangeRoleSerializer, responses=MembershipSerializer)
    def partial_update(self, request: Request, workspace_id: UUID, pk: UUID) -> Response:
        """Give a member another role."""
        member = self.get_object()
        form = ChangeRoleSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        services.change_role(membership=member, actor=_user(request), role=Role(form.validated_data["role"]))
        return Response(MembershipSerializer(member).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, workspace_id: UUID, pk: UUID) -> Response:
        """Take a member's access away."""
        services.remove_member(membership=self.get_object(), actor=_user(request))
        return Response(status=204)


def _user(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user


def _session(request: Request) -> dict[str, Any]:
    user = request.user if isinstance(request.user, User) else None
    return {
        "authenticated": user is not None,
        "user": UserSerializer(user).data if user else None,
        "csrf_token": get_token(request._request),
    }
