"""Whoever tries to write is told that this is a read-only mirror."""

from __future__ import annotations

import pytest

from tests.kubectl.conftest import Books

pytestmark = pytest.mark.timeout(120)

REFUSED = """
apply -f {objects}
apply --server-side -f {objects}
create -f {objects}
replace -f {objects}
create deployment x --image=y
create namespace x
run x --image=y -n books
delete deploy web -n books
delete pods --all -n books
scale deploy web -n books --replicas=1
label deploy web -n books a=b
annotate ns books a=b
patch deploy web -n books -p '{"spec":{"replicas":1}}'
patch books emma -n books --type=merge -p '{"spec":{"pages":1}}'
set image deploy/web web=x -n books
rollout restart deploy/web -n books
rollout undo deploy/web -n books
expose deploy web -n books --name=x
cordon node
taint node node a=b:NoSchedule
logs -n books {pod}
exec -n books {pod} -- true
port-forward -n books {pod} :8080
"""


@pytest.mark.parametrize("line", [line for line in REFUSED.splitlines() if line])
def test_a_write_is_refused_and_says_why(books: Books, line: str) -> None:
    assert "this is a read-only mirror" in books.typed(books.mirrored, line).err
