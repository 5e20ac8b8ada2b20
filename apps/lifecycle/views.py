"""What versions are worth and where they stand. Parses, calls one service or selector, serializes."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from apps.accounts.models import Role, User
from apps.core.errors import InvalidInput, NotFound
from apps.core.models import Event
from apps.lifecycle import selectors, services
from apps.lifecycle.comparison import DEFAULT_AXES, compare_versions
from apps.lifecycle.gate import judge
from apps.lifecycle.models import Evaluation, Promotion, Rule
from apps.lifecycle.serializers import (
    ComparisonQuerySerializer,
    ComparisonSerializer,
    CreateRuleSerializer,
    EvaluationSerializer,
    ProductionQuerySerializer,
    ProductionSerializer,
    PromoteSerializer,
    PromotionSerializer,
    RetireSerializer,
    RuleSerializer,
    StageChangeSerializer,
    SwitchSerializer,
    VerdictSerializer,
)
from apps.model_registry.models import Model, ModelVersion
from apps.model_registry.selectors import version_by_id_or_name, visible_versions
from apps.model_registry.serializers import ModelVersionSummarySerializer

_ID_OR_NAME = OpenApiParameter("id", str, OpenApiParameter.PATH, description="Id, or name such as `tiny_v3`.")


class OfVersion(APIView):
    """A part of a version that the caller may see."""

    def get_version(self) -> ModelVersion:
        """Return the version of the address, with the caller's role checked."""
        version = version_by_id_or_name(user=self.request.user, reference=self.kwargs["pk"])
        self.check_object_permissions(self.request, version)
        return version


class OfModel(APIView):
    """A part of a model that the caller may see."""

    model_kwarg = "id"

    def get_model(self) -> Model:
        """Return the model of the address, with the caller's role checked."""
        model = selectors.visible_model(user=self.request.user, model_id=self.kwargs[self.model_kwarg])
        self.check_object_permissions(self.request, model)
        return model


class EvaluationViewSet(OfVersion, ListModelMixin, GenericViewSet[Evaluation]):
    """What a version was measured to be."""

    serializer_class = EvaluationSerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Evaluation]:
        """Select the version's figures."""
        if getattr(self, "swagger_fake_view", False):
            return Evaluation.objects.none()
        return selectors.evaluations_of(self.get_version())

    @extend_schema(parameters=[_ID_OR_NAME])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List a version's figures, newest first; jobs of the kind `evaluate` make them."""
        return super().list(request, *args, **kwargs)


class PromotionViewSet(OfVersion, ListModelMixin, GenericViewSet[Promotion]):
    """Wishes to promote a version."""

    serializer_class = PromotionSerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Promotion]:
        """Select the version's promotions."""
        if getattr(self, "swagger_fake_view", False):
            return Promotion.objects.none()
        return selectors.promotions_of(self.get_version())

    @extend_schema(parameters=[_ID_OR_NAME])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List what was asked for a version, newest first, with each rule's verdict."""
        return super().list(request, *args, **kwargs)

    @extend_schema(parameters=[_ID_OR_NAME], request=PromoteSerializer, responses={201: PromotionSerializer})
    def create(self, request: Request, pk: str) -> Response:
        """Promote a version. `state` tells whether it was, was not, or waits for evaluations that run now."""
        version = self.get_version()
        form = PromoteSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        promotion = services.promote(version=version, actor=_user(request), **form.validated_data)
        shown = selectors.promotions_of(version).get(pk=promotion.pk)
        return Response(PromotionSerializer(shown).data, status=201)


class VerdictsView(OfVersion):
    """What the rules would say."""

    @extend_schema(
        operation_id="model_versions_verdicts", parameters=[_ID_OR_NAME], responses=VerdictSerializer(many=True)
    )
    def get(self, request: Request, pk: str) -> Response:
        """Judge a version by its model's rules as things stand; nothing is measured or changed."""
        version = self.get_version()
        production = selectors.production_of(version.model_id)
        verdicts = [judge(rule, version, production) for rule in selectors.rules_of(version.model)]
        return Response(VerdictSerializer(verdicts, many=True).data)


class RetireView(OfVersion):
    """Taking a version out of use."""

    @extend_schema(
        operation_id="model_versions_retire",
        parameters=[_ID_OR_NAME],
        request=RetireSerializer,
        responses=ModelVersionSummarySerializer,
    )
    def post(self, request: Request, pk: str) -> Response:
        """Retire a version that is not in production and that nothing kept needs; its files stay."""
        version = self.get_version()
        form = RetireSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        reason = form.validated_data.get("reason", "")
        services.retire_version(version_id=version.pk, actor=_user(request), reason=reason)
        shown = visible_versions(request.user).get(pk=version.pk)
        return Response(ModelVersionSummarySerializer(shown).data)


class RuleViewSet(OfModel, ListModelMixin, GenericViewSet[Rule]):
    """What a model asks of a version before it is promoted. Owners write it."""

    serializer_class = RuleSerializer
    filter_backends = ()
    write_role = Role.OWNER
    model_kwarg = "model_id"

    def get_queryset(self) -> QuerySet[Rule]:
        """Select the model's rules."""
        if getattr(self, "swagger_fake_view", False):
            return Rule.objects.none()
        return selectors.rules_of(self.get_model())

    @extend_schema(request=CreateRuleSerializer, responses={201: RuleSerializer})
    def create(self, request: Request, model_id: UUID) -> Response:
        """Make a rule; what no evaluation could measure of this model is refused."""
        model = self.get_model()
        form = CreateRuleSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        rule = services.create_rule(model_id=model.pk, actor=_user(request), **form.validated_data)
        return Response(RuleSerializer(rule).data, status=201)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, model_id: UUID, pk: UUID) -> Response:
        """Drop a rule."""
        rule = self.get_queryset().select_related("model").filter(pk=pk).first()
        if rule is None:
            raise NotFound("The model has no such rule.")
        services.delete_rule(rule=rule, actor=_user(request))
        return Response(status=204)


class ComparisonView(OfModel):
    """The versions of a model side by side."""

    @extend_schema(
        operation_id="models_comparison", parameters=[ComparisonQuerySerializer], responses=ComparisonSerializer
    )
    def get(self, request: Request, id: UUID) -> Response:
        """Compare size, speed and quality of all versions, each with its parent, and tell who is on the front."""
        model = self.get_model()
        query = _query(request, ComparisonQuerySerializer)
        axes = {aspect: query.pop(aspect) for aspect in DEFAULT_AXES if aspect in query}
        return Response(ComparisonSerializer(compare_versions(model=model, axes=axes, **query)).data)


class ProductionView(OfModel):
    """What a model has in production."""

    @extend_schema(
        operation_id="models_production", parameters=[ProductionQuerySerializer], responses=ProductionSerializer
    )
    def get(self, request: Request, id: UUID) -> Response:
        """Show what is in production, or was `at` a time."""
        model = self.get_model()
        at = _query(request, ProductionQuerySerializer).get("at")
        return Response(ProductionSerializer(selectors.production_at(model=model, at=at)).data)

    @extend_schema(operation_id="models_switch", request=SwitchSerializer, responses=ProductionSerializer)
    def post(self, request: Request, id: UUID) -> Response:
        """Switch back to a version that was in production before, or leave nothing there."""
        model = self.get_model()
        form = SwitchSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        version = _version_of(model, request, form.validated_data["version"])
        reason = form.validated_data.get("reason", "")
        services.switch_production(model_id=model.pk, version=version, actor=_user(request), reason=reason)
        return Response(ProductionSerializer(selectors.production_at(model=model, at=None)).data)


class StageViewSet(OfModel, ListModelMixin, GenericViewSet[Event]):
    """The history of a model's stages."""

    serializer_class = StageChangeSerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Event]:
        """Select the changes."""
        if getattr(self, "swagger_fake_view", False):
            return Event.objects.none()
        return selectors.stage_events(self.get_model())

    def get_serializer_context(self) -> dict[str, Any]:
        """Name the versions."""
        context: dict[str, Any] = dict(super().get_serializer_context())
        fake = getattr(self, "swagger_fake_view", False)
        return {**context, "names": {} if fake else selectors.names_of_versions(self.get_model())}


def _version_of(model: Model, request: Request, reference: str | None) -> ModelVersion | None:
    if reference is None:
        return None
    try:
        version = version_by_id_or_name(user=request.user, reference=reference)
    except NotFound as error:
        raise InvalidInput(error.detail, field="version") from error
    if version.model_id != model.pk:
        raise InvalidInput(f"{version} is no version of {model}.", field="version")
    return version


def _query(request: Request, form: type[Serializer[Any]]) -> dict[str, Any]:
    """Return the checked query parameters; an empty one is refused, not taken for an absent one."""
    query = form(data=dict(request.query_params.items()))
    query.is_valid(raise_exception=True)
    fields: dict[str, Any] = query.validated_data
    return fields


def _user(request: Request) -> User:
    assert isinstance(request.user, User)
    return request.user
