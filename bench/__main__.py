"""``python -m bench``: one run, one table. See docs/performance.md for what the rows mean."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import measures, report
from bench.objects import OBJECT_BYTES
from bench.processes import cores

_ROOT = Path(__file__).parent.parent
# As sent; without managedFields and with printer cells it is 2.6 kB that is held.
_MANY_BYTES = 4800


def _shape(text: str) -> tuple[int, int]:
    count, _, size = text.partition(":")
    return int(count), int(size or OBJECT_BYTES)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--objects",
        type=_shape,
        nargs="+",
        metavar="COUNT:BYTES",
        default=[(10_000, OBJECT_BYTES), (100_000, _MANY_BYTES)],
        help="Deployments of the API server, a mirror each; events and requests are measured with the first",
    )
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds of each request row")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one round")
    parser.add_argument("--output", type=Path, default=_ROOT / ".bench", help="folder for bench.json and the logs")
    parser.add_argument("--no-document", action="store_true", help="leave docs/performance.md as it is")
    arguments = parser.parse_args()
    where = cores()
    if not where.apart:
        print("one core only: load and mirror share it, and no figure is worth much", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="kubemirror-bench-") as folder:
        run = measures.Run(
            where,
            Path(folder),
            detailed=arguments.objects[0][0],
            rounds=arguments.rounds,
            load_seconds=arguments.seconds,
        )
        unit = measures.json_pass(run)
        run.row("json pass: loads + dumps of one 4.6 kB Deployment", unit, "µs", note="the yardstick")
        empty = measures.empty_mirror(run)
        for objects, object_bytes in arguments.objects:
            measures.sync(run, objects, object_bytes, empty, unit=unit)
    print("\n" + report.text(run.rows))
    document = None if arguments.no_document else _ROOT / "docs" / "performance.md"
    report.write(run.rows, folder=arguments.output, document=document)
    return 1 if any(row.reached is False for row in run.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
