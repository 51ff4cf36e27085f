"""How many questions to the API server each owner may cause: a burst of them, and so many a second after that.

What is kept is given without a question and costs nothing here. An owner is a user, or the address of nobody in
particular; what is not theirs alone they must not be able to use up.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from kubemirror.access.audit import asking
from kubemirror.access.authorizer import ANONYMOUS, Caller

# Users and addresses at a time, some 200 bytes each. Who was not seen for longest has a whole burst again: most have.
OWNERS = 16_384


class Allowance:
    """Of one kind of question."""

    def __init__(self, *, burst: int, per_second: float) -> None:
        self._burst = float(burst)
        self._per_second = per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # and at which of the loop's seconds

    def __len__(self) -> int:
        return len(self._left)

    def holds(self, owner: str) -> bool:
        """Whether one more may be asked."""
        return self._now(owner)[0] >= 1

    def take(self, owner: str) -> bool:
        """Ask one more; False, and nothing taken, where it may not be."""
        left, now = self._now(owner)
        if left < 1:
            return False
        self._left[owner] = left - 1, now
        self._left.move_to_end(owner)
        while len(self._left) > OWNERS:
            self._left.popitem(last=False)
        return True

    def _now(self, owner: str) -> tuple[float, float]:
        now = asyncio.get_running_loop().time()
        left, at = self._left.get(owner, (self._burst, now))
        return min(self._burst, left + (now - at) * self._per_second), now


def address() -> str:
    """Whose connection it is that the request at hand has come on, as the audit names it."""
    return asking.get().client


def owner_of(caller: Caller) -> str:
    """Whose account a question about ``caller`` is on."""
    return address() if caller.user == ANONYMOUS.user else f"user:{caller.user}"
