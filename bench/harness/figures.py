"""What is reported of a run, derived from weir-load's results and the samples; and medians over rounds.

CPU is µs per exchange and per event. `workers` are weir's worker threads, or a peer's whole processes. `whole` is everything:
of weir also the recorder with SQLite, whose work may lag behind the exchanges; its time is therefore taken from the start
until all is recorded and divided by all interceptions in the database, the warm-up's included. Memory of an open stream is
what the process has grown by when all are open: all of it (`rss`), and its own without mapped files (`private`).
"""
import statistics

from harness import sample

LATENCIES = ("head", "first_event", "gap", "whole", "event")
PERCENTILES = ("mean", "p50", "p90", "p99", "p99_9", "p99_99", "max")


def of_run(case, observed, settled, direct=None):
    """The figures of one run; `direct`: those of the mock asked directly in the same round."""
    results = observed.results
    exchanges, events, seconds = results["exchanges"], results["events"], results["seconds"]
    figures = {
        "exchanges": exchanges,
        "events": events,
        "exchanges_per_s": exchanges / seconds,
        "events_per_s": events / seconds,
        "bytes_per_s": results["bytes"] / seconds,
        "open_streams": results["open_streams_max"],
    }
    if observed.load_sleeps:
        figures["load_core_share"] = (observed.load.whole_us + observed.mock.whole_us) / seconds / 1e6
        figures["mock_core_share"] = observed.mock.whole_us / seconds / 1e6
    for name in LATENCIES:
        latency = results["latency_us"].get(name, {})
        if latency.get("count"):
            for percentile in PERCENTILES:
                if percentile in latency:
                    figures[f"{name}_{percentile}"] = latency[percentile]
    if observed.begin:
        figures |= of_processes(observed, settled, exchanges, events)
        if case.paced and observed.all_open and results["open_streams_max"]:
            grown = sample.growth(observed.idle, observed.all_open)
            figures["rss_per_stream"] = grown.rss / results["open_streams_max"]
            figures["private_per_stream"] = grown.anonymous / results["open_streams_max"]
    if direct and case.paced:
        for name in LATENCIES:
            for percentile in ("p50", "p99"):
                key = f"{name}_{percentile}"
                if key in figures and key in direct:
                    figures[f"added_{key}"] = figures[key] - direct[key]
    return figures


def of_processes(observed, settled, exchanges, events):
    used = sample.between(observed.begin, observed.end)
    groups = dict(used.cpu_us)
    workers = groups.get("workers", 0.0)
    figures = {
        "core_share": used.whole_us / used.seconds / 1e6,
        "user_share": used.user_shares[""],
        "user_share_workers": used.user_shares.get("workers", 0.0),
        "switches_voluntary": used.voluntary,
        "switches_involuntary": used.involuntary,
        "rss_idle": observed.idle.rss,
        "rss": observed.end.rss,
        "rss_peak": observed.end.rss_peak,
        "rss_anonymous": observed.end.anonymous,
        "rss_files": observed.end.rss - observed.end.anonymous,
    }
    late = {}  # group -> µs per interception, for work that lags behind
    if settled:
        late_us, recorded = settled
        figures["recorded"] = recorded
        for group, us in late_us.items():
            groups.pop(group, None)
            late[group] = us / recorded if recorded else 0.0
    # Of long streams, few exchanges end while it is measured; per event is then what counts.
    if exchanges:
        figures["cpu_workers_per_exchange"] = workers / exchanges
        for group, us in groups.items():
            figures[f"cpu_{group}_per_exchange"] = us / exchanges
        for group, us in late.items():
            figures[f"cpu_{group}_per_exchange"] = us
        figures["cpu_whole_per_exchange"] = sum(groups.values()) / exchanges + sum(late.values())
        figures["switches_per_exchange"] = (used.voluntary + used.involuntary) / exchanges
    if events:
        per_event = exchanges / events
        figures["cpu_workers_per_event"] = workers / events
        figures["cpu_whole_per_event"] = sum(groups.values()) / events + sum(late.values()) * per_event
    return figures


def medians(rounds):
    """Of every figure that all rounds have."""
    keys = set(rounds[0]).intersection(*rounds[1:])
    return {key: statistics.median(figures[key] for figures in rounds) for key in sorted(keys)}


def spread(rounds, key):
    """(lowest, highest) of a figure."""
    values = [figures[key] for figures in rounds if key in figures]
    return (min(values), max(values)) if values else None
