"""Reviews without an API server: answers by hand, and what was asked is kept."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubemirror.errors import ReviewRefusedError, UnauthenticatedError, UpstreamUnavailableError

READ = ("get", "list", "watch")


@dataclass
class Reviews:
    """users: by token. rights: (user, verb, resource, namespace) that are allowed; paths: (user, path).
    lists: by user, what a SelfSubjectRulesReview tells; who is not in it may not ask.

    granted: whether the mirror may create reviews. down: nobody answers. gate: answers wait for it.
    """

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    rights: set[tuple[str, str, str, str]] = field(default_factory=set)
    paths: set[tuple[str, str]] = field(default_factory=set)
    lists: dict[str, dict[str, Any]] = field(default_factory=dict)
    granted: bool = True
    down: bool = False
    gate: asyncio.Event | None = None
    reason: str = ""
    audiences: bool = True
    asked: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)

    def user(self, token: str, name: str, *groups: str, **more: Any) -> None:
        self.users[token] = {"username": name, "groups": [*groups, "system:authenticated"], **more}

    def allow(
        self, user: str, resource: str, *namespaces: str, verbs: tuple[str, ...] = ("list", "watch", "get")
    ) -> None:
        self.rights |= {(user, verb, resource, each) for verb in verbs for each in namespaces or ("",)}

    def count(self, kind: str) -> int:
        return sum(each == kind for each, _, _ in self.asked)

    async def create(self, group: str, kind: str, spec: dict[str, Any], *, token: str | None = None) -> dict[str, Any]:
        self.asked.append((kind, spec, token))
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise UpstreamUnavailableError("nobody there")
        match kind:
            case "TokenReview":
                self._require_granted(kind)
                found = self.users.get(spec["token"])
                if found is None:
                    return {"user": {}, "error": "invalid bearer token"}
                status = {"authenticated": True, "user": found}
                return {**status, "audiences": spec["audiences"]} if self.audiences and "audiences" in spec else status
            case "SelfSubjectReview":
                return {"userInfo": self._of(token)}
            case "SelfSubjectRulesReview":
                name = self._of(token)["username"]
                if name not in self.lists:
                    raise ReviewRefusedError(f"the API server refused a {kind}")
                return self.lists[name]
            case "SubjectAccessReview":
                self._require_granted(kind)
                return self._decide(spec["user"], spec)
            case "SelfSubjectAccessReview" if token is None:
                return {"allowed": self.granted}
            case "SelfSubjectAccessReview":
                return self._decide(self._of(token)["username"], spec)
        raise AssertionError(kind)

    def _of(self, token: str | None) -> dict[str, Any]:
        if token not in self.users:
            raise UnauthenticatedError("the API server refused the bearer token")
        return self.users[token]

    def _require_granted(self, kind: str) -> None:
        if not self.granted:
            raise ReviewRefusedError(f"the API server refused a {kind}")

    def _decide(self, user: str, spec: dict[str, Any]) -> dict[str, Any]:
        path = spec.get("nonResourceAttributes")
        if path is not None:
            allowed = (user, path["path"]) in self.paths
        else:
            asked = spec["resourceAttributes"]
            one = (user, asked["verb"], asked["resource"], asked.get("namespace", ""))
            allowed = one in self.rights or (*one[:3], "") in self.rights
        return {"allowed": allowed} if allowed else {"allowed": False, "reason": self.reason}


def jwt(expiry: float, **claims: Any) -> str:
    """A token that says when it ends; nobody verifies it here."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part({'exp': expiry, **claims})}.c2lnbmF0dXJl"


Wall = Callable[[], float]
