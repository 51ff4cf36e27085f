"""Requests made up from /-/openapi.json, right and wrong ones: each is answered as it says, and never by 500."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.fuzz.target import SECONDS, Target

pytestmark = pytest.mark.timeout(SECONDS * 40 + 120)
# Of each operation, some twenty of them, right and wrong: about a hundred a second.
EXAMPLES = max(5, int(SECONDS * 2))
CHECKS = [content_type_conformance, response_schema_conformance, status_code_conformance]
# Streams: what they are asked for is made up in the other files.
ENDLESS = "/watch"


@pytest.fixture(scope="module")
def contract(target: Target) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{target.process.url.rstrip('/')}/-/openapi.json")


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_answers_as_it_says(
    target: Target, contract: BaseSchema, session: requests.Session, mode: GenerationMode
) -> None:
    operations: list[APIOperation] = [result.ok() for result in contract.get_all_operations()]
    asked: set[int] = set()
    for operation in operations:
        if operation.path == ENDLESS:
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            derandomize=SECONDS < 30,
        )
        @given(operation.as_strategy(generation_mode=mode))
        def ask(case: Case) -> None:
            answer = case.call(session=session, timeout=5)
            asked.add(answer.status_code)
            assert answer.status_code != 500, case.as_curl_command()
            assert answer.elapsed < 3.5, case.as_curl_command()  # those that wait for a resourceVersion wait 3 s
            case.validate_response(answer, checks=CHECKS)

        try:
            ask()
        except Exception as error:
            if "Cannot generate" in str(error) or "Unsatisfiable" in type(error).__name__:  # nothing could be wrong
                continue
            raise
        target.answers()

    assert len(operations) > 8
    assert {200, 400} & asked


def test_and_afterwards_it_is_as_before(target: Target) -> None:
    target.unharmed()
