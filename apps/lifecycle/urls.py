"""Addresses of the lifecycle under ``/api/v1/``: beside those of models and versions, which the registry owns."""

from django.urls import path

from apps.lifecycle import views

urlpatterns = [
    path("model-versions/<str:pk>/evaluations", views.EvaluationViewSet.as_view({"get": "list"})),
    path("model-versions/<str:pk>/promotions", views.PromotionViewSet.as_view({"get": "list", "post": "create"})),
    path("model-versions/<str:pk>/verdicts", views.VerdictsView.as_view()),
    path("model-versions/<str:pk>/retire", views.RetireView.as_view()),
    path("models/<uuid:model_id>/rules", views.RuleViewSet.as_view({"get": "list", "post": "create"})),
    path("models/<uuid:model_id>/rules/<uuid:pk>", views.RuleViewSet.as_view({"delete": "destroy"})),
    path("models/<uuid:id>/comparison", views.ComparisonView.as_view()),
    path("models/<uuid:id>/production", views.ProductionView.as_view()),
    path("models/<uuid:id>/stages", views.StageViewSet.as_view({"get": "list"})),
]
