"""Every URL of the control plane. Wires, decides nothing.

An app's ``urls.py`` lists ``urlpatterns`` (for people, under ``/api/v1/``) and ``node_urlpatterns`` (for agents, under
``/api/node/v1/``).
"""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView

from controlplane.discovery import patterns_of
from controlplane.documentation import documentation
from controlplane.health import healthz, readyz
from controlplane.spa import index

admin.autodiscover()

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/v1/", include(patterns_of("urls", "urlpatterns"))),
    path("api/node/v1/", include(patterns_of("urls", "node_urlpatterns"))),
    path("api/schema/", SpectacularJSONAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("docs", RedirectView.as_view(pattern_name="documentation", permanent=False)),
    path("docs/", documentation, {"path": ""}, name="documentation"),
    path("docs/<path:path>", documentation, name="documentation-page"),
    re_path(r"^(?!(?:api|admin|docs|static|ws)/)", index, name="spa"),
]
