"""The dashboard's one page: every address that is nobody else's is routed in the browser."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

_MISSING = "The dashboard is not built yet. Run `make frontend` (or `npm ci && npm run build` in frontend/).\n"


@require_safe
@ensure_csrf_cookie
def index(request: HttpRequest) -> HttpResponse:
    """Answer with the front end's index page, which must not be cached: it names the current assets."""
    page = settings.FRONTEND_DIST / "index.html"
    try:
        response = HttpResponse(page.read_bytes(), content_type="text/html; charset=utf-8")
    except FileNotFoundError:
        return HttpResponse(_MISSING, status=503, content_type="text/plain")
    response["Cache-Control"] = "no-cache"
    return response
