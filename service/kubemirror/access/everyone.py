"""The groups that everyone of a kind is in, without being named there by whoever said who it is.

kube-apiserver adds them behind its authenticators (apiserver pkg/authentication/group), and most clusters bind
discovery to the first: who lacks it cannot even ask what there is.
"""

from __future__ import annotations

from collections.abc import Iterable

ANONYMOUS_USER = "system:anonymous"
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"


def with_everyone(user: str, groups: Iterable[str]) -> tuple[str, ...]:
    """``groups`` of a user whom somebody has vouched for; as they are where they say already which of the two it is."""
    told = tuple(groups)
    if user == ANONYMOUS_USER or AUTHENTICATED in told or UNAUTHENTICATED in told:
        return told
    return (*told, AUTHENTICATED)
