"""Headers that keep browsers from doing more with the operators' pages and answers than these need.

Fetch Metadata: w3.org/TR/fetch-metadata. Content Security Policy: w3.org/TR/CSP3. HSTS: RFC 6797.
"""

from __future__ import annotations

from typing import Any, Final

from sanic import Request
from sanic.response import BaseHTTPResponse

from wsplatform.web.proxies import Proxies

PAGE: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
"""The content security policy of a page that has its scripts and style sheets from here, none of them inline."""

SWAGGER: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The one of Swagger UI, which sets styles of elements, and whose style sheet holds its pictures."""

DATA: Final = "default-src 'none'; frame-ancestors 'none'"
"""The one of what is no page."""

_PATHS: Final = ("/admin", "/dashboard")
_YEAR: Final = 31_536_000
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-frame-options": "DENY",
}


class SecurityHeaders:
    """Of every answer below /admin and /dashboard, errors among them: a middleware of the whole app."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies

    def __call__(self, request: Request[Any, Any], response: BaseHTTPResponse) -> None:
        """What a handler has set stays: a page sets its content-security-policy, PAGE or SWAGGER."""
        if not request.path.startswith(_PATHS):
            return
        headers = response.headers
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("content-security-policy", DATA)
        headers.setdefault("cache-control", "no-store")
        if self._proxies.origin(request).secure:
            headers.setdefault("strict-transport-security", f"max-age={_YEAR}")
