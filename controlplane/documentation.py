"""The documentation at /docs/, open to everybody: files that `make docs` has built, nothing of which is secret.

Its theme has a few scripts inside its pages. They are allowed by their digests, so that nothing else is.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from csp.decorators import csp_update
from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils._os import safe_join
from django.views.decorators.http import require_safe
from django.views.static import serve

_MISSING = "The documentation is not built yet. Run `make docs`.\n"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@require_safe
def documentation(request: HttpRequest, path: str) -> HttpResponseBase:
    """Answer with one file of the site, a folder by its index page; 503 while nothing is built."""
    root: Path = settings.DOCS_SITE
    if not (root / "index.html").is_file():
        return HttpResponse(_MISSING, status=503, content_type="text/plain")
    try:
        wanted = Path(safe_join(root, path))
    except (SuspiciousFileOperation, ValueError) as error:  # it leads out of the site
        raise Http404 from error
    if wanted.is_dir():
        if path and not path.endswith("/"):
            return HttpResponseRedirect(f"{request.path}/")
        path, wanted = f"{path}index.html", wanted / "index.html"
    if not wanted.is_file():
        raise Http404

    send: Callable[[HttpRequest], HttpResponseBase] = partial(serve, path=path, document_root=str(root))
    if wanted.suffix == ".html":
        send = csp_update({"script-src": list(script_digests(wanted, wanted.stat().st_mtime_ns))})(send)
    response = send(request)
    response["Cache-Control"] = "no-cache"  # asked again each time, answered by 304
    return response


@lru_cache(maxsize=256)
def script_digests(page: Path, modified_ns: int) -> tuple[str, ...]:
    """The sources by which the scripts inside a page are allowed; ``modified_ns`` tells a rebuilt page."""
    scripts = _INLINE_SCRIPT.findall(page.read_text(encoding="utf-8"))
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    return tuple(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
