"""The cookie of a login, and what keeps other pages from using it.

Another name that leads to this address (DNS rebinding) does not get the cookie: it is for one host name, so a page of
another name sends none and can show nothing but a key. SameSite=Strict keeps it out of what other sites ask for, but
not other ports of this host, which are the same site: so a request with the cookie must not come from another origin,
and a change must say that it comes from this one and hold a token that only this origin's pages can read. Another
program on this host can set a cookie of the name without the prefix: two of them count as none.

Cookies: RFC 6265bis (draft-ietf-httpbis-rfc6265bis), 4.1.3.2 for the prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sanic import Request

from wsplatform.errors import RequestError
from wsplatform.web.proxies import Origin

SECURE_NAME: Final = "__Host-wsp_session"
LOCAL_NAME: Final = "wsp_session"
CSRF_HEADER: Final = "x-csrf-token"
_READING: Final = ("GET", "HEAD")
_BLANK: Final = " \t"
"""And no more: to browsers, a name with other white space before it is one without the prefix, which any may set."""


def cookie_name(origin: Origin) -> str:
    """Raises RequestError 403 where what is sent could be read on its way."""
    if origin.secure:
        return SECURE_NAME
    if origin.local:
        return LOCAL_NAME
    raise RequestError(
        403,
        "insecure_connection",
        "Log in by https, or from the registry's own host. If a proxy speaks https with you, its address belongs into "
        "the setting proxy.trusted.",
    )


def set_cookie(name: str, text: str, *, gone: bool = False) -> dict[str, str]:
    """The header that gives a login to the browser, or takes it away."""
    secure = "; Secure" if name == SECURE_NAME else ""
    age = "; Max-Age=0" if gone else ""
    return {"set-cookie": f"{name}={text}; Path=/; HttpOnly; SameSite=Strict{secure}{age}"}


def read_cookie(request: Request[Any, Any], origin: Origin) -> str:
    """The text of the login's cookie; empty where there is none that counts."""
    if not (origin.secure or origin.local):
        return ""
    name = cookie_name(origin)
    pairs = [pair.partition("=") for line in _cookie_lines(request) for pair in line.split(";")]
    texts = [value.strip(_BLANK) for key, _, value in pairs if key.strip(_BLANK) == name]
    return texts[0] if len(texts) == 1 else ""


def check_origin(request: Request[Any, Any], origin: Origin, *, change: bool) -> None:
    """Raises RequestError 403 for what a page of another origin asks for.

    A change must say that it is not one. Sec-Fetch-Site counts before Origin: a proxy may have changed Host.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        same = site == "same-origin" or (site == "none" and not change)
    else:
        said = request.headers.get("origin")
        same = said == _own(request, origin) if said is not None else not change
    if not same:
        raise RequestError(403, "cross_origin", "Requests with a session must come from a page of this very address.")


def is_change(request: Request[Any, Any]) -> bool:
    return request.method not in _READING


def _cookie_lines(request: Request[Any, Any]) -> Iterator[str]:
    """From the bytes that came: Sanic takes every kind of white space from the beginning of a header."""
    for line in request.head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"cookie":
            yield value.decode("latin-1")


def _own(request: Request[Any, Any], origin: Origin) -> str:
    scheme, default = ("https", ":443") if origin.secure else ("http", ":80")
    return f"{scheme}://{request.headers.get('host', '').lower().removesuffix(default)}"
