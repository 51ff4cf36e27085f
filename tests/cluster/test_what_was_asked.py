"""The audit log tells every request that is wholly written, while the API server writes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import Audited, ControlPlane

WATCH: dict[str, Any] = {
    "kind": "Event",
    "stage": "ResponseComplete",
    "requestURI": "/apis/apps/v1/deployments?watch=true",
    "verb": "watch",
    "user": {"username": "mirror", "groups": ["system:authenticated"]},
    "userAgent": "kubemirror",
    "objectRef": {"resource": "deployments", "apiGroup": "apps", "apiVersion": "v1"},
    "responseStatus": {"metadata": {}, "status": "Failure", "code": 429},
    "requestReceivedTimestamp": "2026-11-21T04:00:00.250000Z",
}
PROBE = {
    "kind": "Event",
    "stage": "RequestReceived",
    "requestURI": "/readyz",
    "verb": "get",
    "user": {},
    "requestReceivedTimestamp": "2026-11-21T04:00:01.000000Z",
}
FOUR_O_CLOCK = 1795233600.0


def told(folder: Path, log: bytes) -> list[Audited]:
    (folder / "audit.log").write_bytes(log)
    return list(ControlPlane(folder=folder).requests())


def test_who_asked_what_when_and_was_answered_how(tmp_path: Path) -> None:
    assert told(tmp_path, b"".join(json.dumps(each).encode() + b"\n" for each in (WATCH, PROBE))) == [
        Audited(
            received=FOUR_O_CLOCK + 0.25,
            user="mirror",
            verb="watch",
            resource="deployments.apps",
            uri="/apis/apps/v1/deployments?watch=true",
            stage="ResponseComplete",
            code=429,
            user_agent="kubemirror",
        ),
        Audited(
            received=FOUR_O_CLOCK + 1,
            user="",
            verb="get",
            resource="",
            uri="/readyz",
            stage="RequestReceived",
            code=0,
            user_agent="",
        ),
    ]


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    line = json.dumps({**WATCH, "userAgent": "kubemirror/\u00fc"}, ensure_ascii=False).encode() + b"\n"
    for written in range(len(line)):
        assert len(told(tmp_path, line + line[:written])) == 1
    assert len(told(tmp_path, line + line)) == 2
