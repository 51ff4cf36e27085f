"""/-/static: the stylesheet and scripts, under their common digest, so that they may be kept for ever."""

from __future__ import annotations

from fastapi import APIRouter, Response

from kubemirror.serve.accent import stylesheet
from kubemirror.serve.problems import nearest, not_found
from kubemirror.serve.reading import require_path
from kubemirror.serve.routes import get
from kubemirror.serve.serving import AskedHere, Serving


def routes(serving: Serving) -> APIRouter:
    """/-/static/{digest}/{name}."""
    files = serving.pages.static
    router = APIRouter()

    async def static(asked: AskedHere, digest: str, name: str) -> Response:
        await require_path(serving.context, asked.caller, asked.path)
        body = files.files.get(name) or stylesheet(name)
        if body is None:
            raise not_found(f'there is no file "{name}"{nearest(name, files.files)}', name)
        # A page of another replica's version may ask for it: it gets ours, but is not to keep it.
        kept = "public, max-age=31536000, immutable" if digest == files.version else "no-cache"
        return Response(body, media_type=files.type_of(name), headers={"cache-control": kept})

    get(router, "/-/static/{digest}/{name}", static, in_contract=False)
    return router
