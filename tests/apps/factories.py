"""Rows for tests: whole, valid, and no more than asked for."""

from typing import Any

import factory
from factory.django import DjangoModelFactory

from apps.accounts.models import Membership, Role, User, Workspace
from apps.projects.models import Project


class UserFactory(DjangoModelFactory[User]):
    """A person with the password ``password``."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda number: f"user{number}")

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        password = kwargs.pop("password", "password")
        user = model_class(*args, **kwargs)
        user.set_password(password)
        user.save()
        return user


class WorkspaceFactory(DjangoModelFactory[Workspace]):
    """An empty workspace."""

    class Meta:
        model = Workspace

    name = factory.Sequence(lambda number: f"workspace {number}")


class MembershipFactory(DjangoModelFactory[Membership]):
    """A user in a workspace, as an editor."""

    class Meta:
        model = Membership

    workspace = factory.SubFactory(WorkspaceFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.EDITOR


class ProjectFactory(DjangoModelFactory[Project]):
    """An empty project in a workspace of its own."""

    class Meta:
        model = Project

    workspace = factory.SubFactory(WorkspaceFactory)
    name = factory.Sequence(lambda number: f"project {number}")
