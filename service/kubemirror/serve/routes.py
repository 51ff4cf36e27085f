"""Registers our routes: every GET with its HEAD, and no query parameter that the path does not know."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Annotated, Any, get_origin

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, BeforeValidator

from kubemirror.serve.problems import repeated_parameter, unknown_parameter

# A form sends every field: an empty one asks for nothing.
OneNamespace = Annotated[str | None, BeforeValidator(lambda given: given or None)]
# What FastAPI would tell otherwise is a body that we never send.
_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"description": "A Kubernetes Status that says what to change."}}


def parameters(model: type[BaseModel] | None) -> list[str]:
    """The parameters that ``model`` takes, as they are written in a query."""
    return [field.alias or name for name, field in model.model_fields.items()] if model is not None else []


def repeatable(model: type[BaseModel] | None) -> frozenset[str]:
    """The parameters of which every one that is given counts."""
    fields = model.model_fields.items() if model is not None else ()
    return frozenset(field.alias or name for name, field in fields if get_origin(field.annotation) is list)


def require_once(given: Mapping[str, Collection[str]], repeated: Collection[str]) -> None:
    """Raises StatusError where a parameter says two things of which one would have to be ignored."""
    for name, values in given.items():
        if name not in repeated and len(set(values) - {""}) > 1:
            raise repeated_parameter(name)


def only(model: type[BaseModel] | None) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses what ``model`` does not know, and names the nearest that it does.

    Asynchronous though it awaits nothing: FastAPI runs the others in threads, which costs more than all the rest.
    """
    known, repeated = frozenset(parameters(model)), repeatable(model)

    async def check(request: Request) -> None:
        given = request.query_params
        for name in given:
            if name not in known:
                raise unknown_parameter(name, known)
        if len(given) < len(given.multi_items()):
            require_once({name: given.getlist(name) for name in given}, repeated)

    return check


def get(
    router: APIRouter,
    path: str,
    handler: Callable[..., Any],
    *,
    query: type[BaseModel] | None = None,
    in_contract: bool = True,
    responses: Mapping[int | str, dict[str, Any]] | None = None,
    **options: Any,
) -> None:
    """``handler`` answers GET and HEAD of ``path``; the server leaves a HEAD's body away.

    query: the model of its parameters. in_contract: whether /-/openapi.json shows it.
    responses: by code; that errors are Status objects is known.
    """
    name = "get" + "".join(part.title() for part in path.replace("{", "").replace("}", "").replace("-", "").split("/"))
    strict = [Depends(only(query))]
    router.add_api_route(
        path,
        handler,
        methods=["GET"],
        operation_id=name,
        dependencies=strict,
        include_in_schema=in_contract,
        responses={**_ERRORS, **(responses or {})},
        **options,
    )
    router.add_api_route(path, handler, methods=["HEAD"], dependencies=strict, include_in_schema=False, **options)


def post(router: APIRouter, path: str, handler: Callable[..., Any], **options: Any) -> None:
    """``handler`` answers POST of ``path``; there are no parameters."""
    router.add_api_route(
        path, handler, methods=["POST"], dependencies=[Depends(only(None))], responses=_ERRORS, **options
    )
