"""/metrics: a collector over live state, in Prometheus' text form or OpenMetrics, as Accept says.

Nothing is counted twice: the numbers are those that the stores, journals and reflectors hold anyway, read
at scrape time. Labels are resources, phases, reasons and routes: never the name of an object or namespace
(where a resource is mirrored namespace by namespace, its stores are summed). Every family is in
docs/metrics.md; a test compares the two.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kubemirror.serve import lag, traffic
from kubemirror.serve.health import readiness
from kubemirror.serve.reading import freshness, require_path
from kubemirror.serve.routes import get
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.state.catalog import Entry
from kubemirror.state.events import Phase
from kubemirror.state.statistics import ReflectorStatistics


class MirrorCollector(Collector):
    """What is known of this process at the moment of the scrape."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def describe(self) -> Iterable[Metric]:
        return ()  # families depend on live state: nothing to say before the first scrape

    def collect(self) -> Iterator[Metric]:
        yield from self._stores()
        yield from self._reflectors()
        yield from self._requests()
        yield from self._process()

    # -- stores and journals --------------------------------------------------------------------------

    def _stores(self) -> Iterator[Metric]:
        context = self._serving.context
        now = context.clock()
        label = ["resource"]
        objects = GaugeMetricFamily("kubemirror_objects", "Objects held.", labels=label)
        size = GaugeMetricFamily("kubemirror_object_bytes", "Bytes of raw objects and cells held.", labels=label)
        phase = StateSetMetricFamily(
            "kubemirror_store_phase", "Where the store stands: 1 for its phase, 0 for the others.", labels=label
        )
        synced = GaugeMetricFamily(
            "kubemirror_store_synced", "1 once the store has been complete, and for ever after.", labels=label
        )
        heard = GaugeMetricFamily(
            "kubemirror_upstream_last_heard_seconds",
            "Seconds since the API server last sent an event or a bookmark; absent before it did.",
            labels=label,
        )
        stale = GaugeMetricFamily(
            "kubemirror_store_stale_seconds", "Seconds since upstream was lost; 0 while it is heard.", labels=label
        )
        epoch = CounterMetricFamily(
            "kubemirror_store_rollbacks", "Times upstream went back in time (a restored etcd).", labels=label
        )
        window = GaugeMetricFamily(
            "kubemirror_journal_window_seconds", "Age of the oldest change that a reader can resume from.", labels=label
        )
        journal_bytes = GaugeMetricFamily(
            "kubemirror_journal_bytes", "Bytes that only the journal keeps alive.", labels=label
        )
        records = GaugeMetricFamily("kubemirror_journal_records", "Changes kept.", labels=label)
        readers = GaugeMetricFamily("kubemirror_journal_readers", "Open streams reading the journal.", labels=label)
        gaps = GaugeMetricFamily(
            "kubemirror_journal_gaps", "Stretches in the journal that were not watched (relists).", labels=label
        )
        for entry in context.catalog:
            name = [entry.resource.name]
            stores = list(entry.stores.values())
            if not stores:
                continue
            state = freshness(stores, now)
            objects.add_metric(name, sum(len(store) for store in stores))
            size.add_metric(name, sum(store.size for store in stores))
            phase.add_metric(name, {each.value: each is state.phase for each in Phase})
            synced.add_metric(name, float(entry.synced))
            if state.heard_seconds is not None:
                heard.add_metric(name, state.heard_seconds)
            lost = state.stale_seconds if state.phase is Phase.STALE else 0.0
            stale.add_metric(name, lost or 0.0)
            epoch.add_metric(name, sum(store.epoch for store in stores))
            journals = [store.journal for store in stores]
            window.add_metric(name, min(now - each.span[0] if each.span else 0.0 for each in journals))
            journal_bytes.add_metric(name, sum(each.size for each in journals))
            records.add_metric(name, sum(each.end - each.start for each in journals))
            readers.add_metric(name, sum(each.positions for each in journals))
            gaps.add_metric(name, sum(len(each.gaps) for each in journals))
        yield from (objects, size, phase, synced, heard, stale, epoch)
        yield from (window, journal_bytes, records, readers, gaps)
        ready = all(check.ok for check in readiness(context))
        yield GaugeMetricFamily("kubemirror_ready", "1 while /readyz succeeds.", value=float(ready))
        yield GaugeMetricFamily("kubemirror_resources", "Resources mirrored.", value=len(context.catalog))
        yield GaugeMetricFamily(
            "kubemirror_stale_groups",
            "Group versions whose discovery fails upstream.",
            value=len(context.catalog.stale_groups),
        )

    # -- reflectors -----------------------------------------------------------------------------------

    def _reflectors(self) -> Iterator[Metric]:
        label = ["resource"]
        out_of_order = CounterMetricFamily(
            "kubemirror_events_out_of_order", "Events at or below the resourceVersion reached, ignored.", labels=label
        )
        events = CounterMetricFamily(
            "kubemirror_events", "Watch events from the API server, by type.", labels=["resource", "type"]
        )
        relists = CounterMetricFamily(
            "kubemirror_relists", "Lists begun, by what caused them.", labels=["resource", "reason"]
        )
        errors = CounterMetricFamily(
            "kubemirror_upstream_errors", "Failures of lists and watches, by class.", labels=["resource", "class"]
        )
        backoff = GaugeMetricFamily(
            "kubemirror_backoff_seconds", "Pause before the next attempt; 0 while none is needed.", labels=label
        )
        audits = CounterMetricFamily("kubemirror_audits", "Digest audits against the API server.", labels=label)
        mismatches = CounterMetricFamily(
            "kubemirror_audit_mismatches", "Audits that found the store differ from upstream.", labels=label
        )
        read = CounterMetricFamily("kubemirror_upstream_bytes", "Bytes read from the API server.", labels=label)
        # From here on client-go's own names (tools/cache/reflector_metrics.go), as dashboards know them.
        lists = CounterMetricFamily(
            "reflector_lists", "Total number of API lists done by the reflectors", labels=["name"]
        )
        watches = CounterMetricFamily(
            "reflector_watches", "Total number of API watches done by the reflectors", labels=["name"]
        )
        short = CounterMetricFamily(
            "reflector_short_watches", "Total number of short API watches done by the reflectors", labels=["name"]
        )
        list_seconds = SummaryMetricFamily(
            "reflector_list_duration_seconds",
            "How long an API list takes to return and decode for the reflectors",
            labels=["name"],
        )
        list_items = SummaryMetricFamily(
            "reflector_items_per_list", "How many items an API list returns to the reflectors", labels=["name"]
        )
        watch_seconds = SummaryMetricFamily(
            "reflector_watch_duration_seconds",
            "How long an API watch takes to return and decode for the reflectors",
            labels=["name"],
        )
        watch_items = SummaryMetricFamily(
            "reflector_items_per_watch", "How many items an API watch returns to the reflectors", labels=["name"]
        )
        last = GaugeMetricFamily(
            "reflector_last_resource_version",
            "Last resource version seen for the reflectors",
            labels=["name"],
        )
        for entry in self._serving.context.catalog:
            name = [entry.resource.name]
            counted = [store.statistics for store in entry.stores.values()]
            if not counted:
                continue
            for family, values in ((events, "events"), (relists, "relists"), (errors, "errors")):
                for kind, count in _summed(counted, values).items():
                    family.add_metric([*name, kind], count)
            out_of_order.add_metric(name, sum(each.out_of_order for each in counted))
            backoff.add_metric(name, max(each.backoff_seconds for each in counted))
            audits.add_metric(name, sum(each.audits for each in counted))
            mismatches.add_metric(name, sum(each.audit_mismatches for each in counted))
            read.add_metric(name, sum(each.upstream_bytes for each in counted))
            begun = sum(each.lists for each in counted)
            opened = sum(each.watches for each in counted)
            lists.add_metric(name, begun)
            watches.add_metric(name, opened)
            short.add_metric(name, sum(each.short_watches for each in counted))
            list_seconds.add_metric(name, begun, sum(each.list_seconds for each in counted))
            list_items.add_metric(name, begun, sum(each.list_items for each in counted))
            watch_seconds.add_metric(name, opened, sum(each.watch_seconds for each in counted))
            watch_items.add_metric(name, opened, sum(each.watch_items for each in counted))
            last.add_metric(name, _last(entry))
        yield from (events, out_of_order, relists, errors, backoff, audits, mismatches, read)
        yield from (lists, watches, short, list_seconds, list_items, watch_seconds, watch_items, last)

    # -- requests and streams -------------------------------------------------------------------------

    def _requests(self) -> Iterator[Metric]:
        counted = self._serving.traffic
        requests = CounterMetricFamily(
            "kubemirror_http_requests",
            "Requests answered, by route template.",
            labels=["route", "method", "code"],
        )
        for (route, method, code), count in sorted(counted.requests.items()):
            requests.add_metric([route, method, str(code)], count)
        yield requests
        duration = HistogramMetricFamily(
            "kubemirror_http_request_duration_seconds",
            "From request line to the last byte handed over; streams are not among them.",
            labels=["route"],
        )
        for route, buckets in sorted(counted.buckets.items()):
            duration.add_metric([route], _cumulated(traffic.BUCKETS, buckets), counted.seconds[route])
        yield duration
        opened = CounterMetricFamily(
            "kubemirror_streams_opened", "Streams begun, by framing.", labels=["route", "framing"]
        )
        for (route, framing), count in sorted(counted.streams.items()):
            opened.add_metric([route, framing], count)
        yield opened
        streams = GaugeMetricFamily("kubemirror_streams", "Streams open now.", labels=["route", "framing"])
        for (route, framing), count in sorted(counted.open_streams.items()):
            streams.add_metric([route, framing], count)
        yield streams
        ends = CounterMetricFamily("kubemirror_streams_ended", "Streams ended, by reason.", labels=["reason"])
        for reason, count in sorted(counted.stream_ends.items()):
            ends.add_metric([reason], count)
        yield ends
        sent = CounterMetricFamily("kubemirror_stream_events", "Events sent to streams, by type.", labels=["type"])
        for kind, count in sorted(counted.stream_events.items()):
            sent.add_metric([kind], count)
        yield sent
        answers = self._serving.answers
        yield CounterMetricFamily(
            "kubemirror_finished_answer_hits", "Requests answered from finished bytes.", value=answers.hits
        )
        yield CounterMetricFamily(
            "kubemirror_fast_lane_requests", "Requests answered before any framework ran.", value=counted.fast
        )
        yield GaugeMetricFamily("kubemirror_fast_lane_bytes", "Bytes kept to answer so.", value=self._serving.lane.size)
        yield CounterMetricFamily(
            "kubemirror_finished_answer_misses", "Requests for which an answer had to be made.", value=answers.misses
        )
        yield GaugeMetricFamily("kubemirror_finished_answer_bytes", "Bytes of finished answers.", value=answers.size)
        history = self._serving.chronicle.history
        yield GaugeMetricFamily(
            "kubemirror_history_entries", "Changes in meaning that are remembered.", value=len(history)
        )
        yield GaugeMetricFamily("kubemirror_history_bytes", "Bytes of them, as far as is known.", value=history.size)
        yield GaugeMetricFamily(
            "kubemirror_history_pending", "Changes whose meaning is not looked at yet.", value=history.pending
        )
        yield CounterMetricFamily(
            "kubemirror_history_skipped", "Changes that came too fast to be looked at.", value=history.skipped
        )

    # -- the process ----------------------------------------------------------------------------------

    def _process(self) -> Iterator[Metric]:
        loop = self._serving.context.lag
        late = HistogramMetricFamily(
            "kubemirror_loop_lag_seconds", "How late the event loop's beat came (four beats a second)."
        )
        late.add_metric([], _cumulated(lag.BUCKETS, loop.counts), loop.sum)
        yield late
        yield GaugeMetricFamily(
            "kubemirror_loop_lag_worst_seconds", "Greatest lag of the last minute.", value=loop.worst
        )
        yield CounterMetricFamily("kubemirror_loop_stalls", "Stalls of two seconds and more.", value=loop.stalls)
        collections = CounterMetricFamily(
            "kubemirror_gc_collections", "Garbage collections, by generation.", labels=["generation"]
        )
        for generation, counted in enumerate(gc.get_stats()):
            collections.add_metric([str(generation)], counted["collections"])
        yield collections
        certificate = self._serving.context.certificate
        loads = CounterMetricFamily(
            "kubemirror_tls_loads", "Certificates read to serve with, by outcome.", labels=["outcome"]
        )
        ends = GaugeMetricFamily("kubemirror_tls_not_after_seconds", "When the certificate shown ends, since 1970.")
        if certificate is not None:
            for outcome, count in certificate.loads.items():
                loads.add_metric([outcome], count)
            ends.add_metric([], certificate.not_after.timestamp())
        yield loads
        yield ends
        yield InfoMetricFamily("kubemirror_build", "What runs here.", value={"version": version("kubemirror")})


def _summed(counted: list[ReflectorStatistics], name: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counted:
        for kind, count in getattr(each, name).items():
            total[kind] = total.get(kind, 0) + count
    return total


def _last(entry: Entry) -> float:
    return float(max(store.resource_version for store in entry.stores.values()))


def _cumulated(bounds: tuple[float, ...], counts: list[int]) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def registry_of(serving: Serving) -> CollectorRegistry:
    """A registry of this process' own; nothing global is touched."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MirrorCollector(serving))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def routes(serving: Serving) -> APIRouter:
    """/metrics."""
    registry = registry_of(serving)
    router = APIRouter(tags=["status"])

    async def metrics(asked: AskedHere) -> Response:
        """The mirror's own health for Prometheus; client-go's reflector metrics under their names."""
        await require_path(serving.context, asked.caller, asked.path)
        started = time.perf_counter()
        encode, content_type = choose_encoder(asked.accept)
        body: bytes = encode(registry)
        took = f"scrape;dur={(time.perf_counter() - started) * 1000:.1f}"
        return Response(body, headers={"content-type": content_type, "server-timing": took})

    get(router, "/metrics", metrics, response_class=Response)
    return router
