"""``python -m bench``: one run, four tables. See docs/performance.md for what the rows mean."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import access, beside, generator, measures, pages, push, report, streams
from bench.contenders import find_version_rs
from bench.isolation import isolate
from bench.objects import OBJECT_BYTES
from bench.processes import Cores, cores, descriptors
from tests.cluster.programs import build_missing

_ROOT = Path(__file__).parent.parent
# As sent; without managedFields and with printer cells it is 2.6 kB that is held.
_MANY_BYTES = 4800
# push: enough for a list to be one, few enough for version-rs to be asked for all of it by a thousand, each second.
_PUSH_OBJECTS = 1000


def _shape(text: str) -> tuple[int, int]:
    count, _, size = text.partition(":")
    return int(count), int(size or OBJECT_BYTES)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=("beside", "alone", "streams", "pages", "push", "access"), help="one table")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[1_000, 10_000],
        help="beside: Deployments of the real API server that the mirror and the others read from",
    )
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds of each row")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round of requests")
    parser.add_argument(
        "--objects",
        type=_shape,
        nargs="+",
        metavar="COUNT:BYTES",
        default=[(10_000, OBJECT_BYTES), (100_000, _MANY_BYTES)],
        help="alone: Deployments of the demo API server, a mirror each; events are measured with the first",
    )
    parser.add_argument(
        "--watches",
        type=int,
        nargs=2,
        metavar=("SAME", "APART"),
        default=[1_000, 10_000],
        help="streams, push: so many watches of the same, and so many of something else each, or of nothing",
    )
    parser.add_argument("--output", type=Path, default=_ROOT / ".bench", help="folder for bench.json and the logs")
    parser.add_argument("--no-document", action="store_true", help="leave docs/performance.md as it is")
    arguments = parser.parse_args()
    where = cores()
    if not where.apart:
        print("one core only: load and mirror share it, and no figure is worth much", file=sys.stderr)
    told = report.Report()
    document = None if arguments.no_document else _ROOT / "docs" / "performance.md"
    with tempfile.TemporaryDirectory(prefix="kubemirror-bench-") as folder:
        try:
            _measure(arguments, where, Path(folder), told)
        except BaseException:
            document = None  # what was measured is told, and no table there is left half written
            raise
        finally:
            print("\n" + told.text())
            told.write(folder=arguments.output, document=document)
    return 0


def _measure(arguments: argparse.Namespace, where: Cores, folder: Path, told: report.Report) -> None:
    # Before there is no network any more.
    if arguments.only in (None, "streams", "push"):
        generator.build(print)
    if arguments.only not in ("alone", "pages"):
        build_missing(print)
    program = None
    if arguments.only in (None, "beside", "push"):
        open_ = isolate()
        program, told.missing = find_version_rs()
        if program is not None and open_:
            # It listens on all addresses at a fixed port.
            program, told.missing = None, f"version-rs was not run where others could reach it: {open_}"
    if arguments.only in (None, "beside"):
        run = beside.Run(where, folder / "beside", program, rounds=arguments.rounds, seconds=arguments.seconds)
        told.beside = run.rows
        run.folder.mkdir()
        beside.measure(run, arguments.sizes)
    if arguments.only in (None, "alone"):
        alone = measures.Run(where, folder / "alone", detailed=arguments.objects[0][0], rounds=arguments.rounds)
        told.alone = alone.rows
        alone.folder.mkdir()
        unit = measures.json_pass(alone)
        alone.row("json pass: loads + dumps of one 4.6 kB Deployment", unit, "µs", note="the yardstick")
        empty = measures.empty_mirror(alone)
        for objects, object_bytes in arguments.objects:
            measures.sync(alone, objects, object_bytes, empty, unit=unit)
    if arguments.only in (None, "streams"):
        same, apart = arguments.watches
        objects = arguments.objects[0][0]
        live = streams.Run(where, folder / "streams", same, apart, objects=objects, seconds=2 * arguments.seconds)
        told.streams = live.rows
        live.folder.mkdir()
        streams.measure(live)
    if arguments.only in (None, "access"):
        known = access.Run(
            where,
            folder / "access",
            streams=arguments.watches[0],
            rounds=arguments.rounds,
            load_seconds=arguments.seconds,
            seconds=30 * arguments.seconds,
        )
        told.access = known.rows
        known.folder.mkdir()
        access.measure(known)
    if arguments.only in (None, "pages"):
        # A minute where requests are measured for three seconds.
        seen = pages.Run(where, folder / "pages", objects=arguments.objects[0][0], seconds=20 * arguments.seconds)
        told.pages = seen.rows
        seen.folder.mkdir()
        pages.measure(seen)
    if arguments.only in (None, "push"):
        same, idle = arguments.watches
        idle = descriptors(idle)
        objects = min(_PUSH_OBJECTS, same)
        pushed = push.Run(where, folder / "push", same, idle, objects, 2 * arguments.seconds, program)
        told.push = pushed.rows
        pushed.folder.mkdir()
        push.measure(pushed)


if __name__ == "__main__":
    sys.exit(main())
