"""Rows for tests: whole, valid, and no more than asked for."""

from typing import Any

from factory.declarations import Sequence, SubFactory
from factory.django import DjangoModelFactory

from apps.accounts.models import Membership, Role, User, Workspace
from apps.projects.models import Project


class UserFactory(DjangoModelFactory[User]):
    """A person with the password ``password``."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = Sequence(lambda number: f"user{number}")

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        password = str(kwargs.pop("password", "password"))
        user = model_class(**kwargs)
        user.set_password(password)
        user.save()
        return user


class WorkspaceFactory(DjangoModelFactory[Workspace]):
    """An empty workspace."""

    class Meta:
        model = Workspace

    name = Sequence(lambda number: f"workspace {number}")


class MembershipFactory(DjangoModelFactory[Membership]):
    """A user in a workspace, as an editor."""

    class Meta:
        model = Membership

    workspace = SubFactory(WorkspaceFactory)
    user = SubFactory(UserFactory)
    role = Role.EDITOR


class ProjectFactory(DjangoModelFactory[Project]):
    """An empty project in a workspace of its own."""

    class Meta:
        model = Project

    workspace = SubFactory(WorkspaceFactory)
    name = Sequence(lambda number: f"project {number}")
