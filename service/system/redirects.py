"""Redirects of HTTP that callers of other services do not follow."""

import urllib.request
from typing import Any


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refusal to follow a redirect: only the configured address is asked, and told a key."""

    def redirect_request(self, *_: Any) -> None:
        """Make no further request."""
