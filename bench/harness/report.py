"""The results as a table for the terminal, as Markdown, and as a picture."""
from harness import chart

# (heading, figure, scale, shown for cases that ...)
COLUMNS = [
    ("exch/s", "exchanges_per_s", 1, "always"),
    ("events/s", "events_per_s", 1, "streams"),
    ("workers µs/exch", "cpu_workers_per_exchange", 1, "exchanges"),
    ("whole µs/exch", "cpu_whole_per_exchange", 1, "exchanges"),
    ("workers µs/event", "cpu_workers_per_event", 1, "streams"),
    ("whole µs/event", "cpu_whole_per_event", 1, "streams"),
    ("user %", "user_share", 100, "always"),
    ("workers' user %", "user_share_workers", 100, "always"),
    ("core %", "core_share", 100, "always"),
    ("load core %", "load_core_share", 100, "always"),
    ("switches/exch", "switches_per_exchange", 1, "exchanges"),
    ("RSS MiB", "rss", 1 / (1 << 20), "always"),
    ("private MiB", "rss_anonymous", 1 / (1 << 20), "always"),
    ("files MiB", "rss_files", 1 / (1 << 20), "always"),
    ("peak MiB", "rss_peak", 1 / (1 << 20), "always"),
    ("bytes/stream", "rss_per_stream", 1, "always"),
    ("private/stream", "private_per_stream", 1, "always"),
    ("p50 µs", "whole_p50", 1, "closed"),
    ("p99 µs", "whole_p99", 1, "closed"),
    ("p99.99 µs", "whole_p99_99", 1, "closed"),
    ("+head p50", "added_head_p50", 1, "paced"),
    ("+first p50", "added_first_event_p50", 1, "paced"),
    ("+event p50", "added_event_p50", 1, "paced"),
    ("+event p99", "added_event_p99", 1, "paced"),
]
READING = """\
CPU is microseconds of CPU time for an exchange or an event, from the scheduler's count. *workers*: weir's worker threads; of a
peer, all its processes. *whole*: everything; of weir also the recorder writing each exchange to SQLite, until it has caught up.
*user %*: of the system's CPU time, outside the kernel; of weir that counts the recorder in, so *workers' user %* stands apart.
*core %*: of one core, the system. *+…*: added to the latency of the mock asked directly, µs. {load}

Resident memory (*RSS*) is *private* and *files*. Of weir, *files* is its journal, of which every page is written to once at
start: {journal} here instead of the default 64 MiB, because the recorder shares the gateway's core and falls behind a load that no
node would bear for long. *bytes/stream*: what RSS grows by with each open stream, both sides, *private/stream* without files;
neither counts the kernel's socket buffers. Portkey and LiteLLM are warmed up for 3 s at least, LiteLLM has
answered each API before, and both get fewer paced streams where 400 would overload them. Each figure is the median of the rounds."""


def about_load(busy_poll):
    if busy_poll == "0":
        return "Load and mock sleep\nwhen they have no work; *load core %*: what both use of a core."
    return ("Load and mock look for work\n"
            f"for {busy_poll} before they sleep: in a virtual machine, waking a sleeping core costs whoever wakes it as much as "
            "half an exchange,\nand a gateway would pay for the load's idleness. That they are not the bottleneck, the rows *direct* show.")


def rows_of(case):
    """(headings, rows of cells) of a case; columns that no system has are left out."""
    measured = {name: entry["median"] for name, entry in case["systems"].items() if "median" in entry}
    used = [column for column in COLUMNS if any(column[1] in figures for figures in measured.values())]
    # A stream's own time is the provider's pace: what counts there is what is added.
    paced = any("added_head_p50" in figures for figures in measured.values())
    used = [column for column in used if not (paced and column[3] == "closed")]
    if not any(figures.get("events") for figures in measured.values()):
        used = [column for column in used if column[3] != "streams"]
    rows = []
    for name, entry in case["systems"].items():
        figures = entry.get("median", {})
        rows.append([name + (" (!)" if entry["faults"] else "")] +
                    [chart.number(figures[key] * scale) if key in figures else "-" for _, key, scale, _ in used])
    return ["system"] + [column[0] for column in used], rows


def title_of(name, case):
    overrides = ", ".join(f"{key} = {value}" for key, value in case["set"].items())
    return f"{name}: {case['description']}" + (f" ({overrides})" if overrides else "")


def table(headings, rows):
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    return "\n".join("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))) for row in [headings, *rows])


def markdown_table(headings, rows):
    lines = ["| " + " | ".join(row) + " |" for row in [headings, *rows]]
    return "\n".join([lines[0], "|" + "---|" + "---:|" * (len(headings) - 1), *lines[1:]])


def sections(results):
    """(title, headings, rows, notes) of everything that was measured."""
    for name, case in results["cases"].items():
        yield title_of(name, case), *rows_of(case), faults_of(case)
    growth = results.get("growth", {})
    for kind, figures in GROWTH.items():
        for figure, heading, scale in figures:
            if table := growth_table(growth.get(kind, {}), figure, scale):
                cores = growth[kind].get("cores", {})
                on = f" (one worker on core {cores['1']}, two on {cores['2']})" if cores else ""
                notes = growth["notes"] if kind == "streams" else []
                yield f"growth: {heading} by {kind}{on}", *table, notes + growth_faults(growth[kind])
    for name, case in results.get("ablations", {}).items():
        notes = faults_of(case) + [f"{what}: not measured: {why}" for what, why in case["skipped"].items()]
        yield f"ablation: {name}", *ablation_rows(case), notes


# What is shown of a growth: (figure, heading, scale).
GROWTH = {"connections": [("cpu_workers_per_exchange", "workers' CPU µs per exchange", 1),
                          ("cpu_whole_per_exchange", "whole CPU µs per exchange", 1)],
          "streams": [("rss_per_stream", "bytes of memory per stream", 1), ("private_per_stream", "of them private", 1)],
          "workers": [("exchanges_per_s", "exchanges per second", 1), ("core_share", "gateway's CPU, % of a core", 100),
                      ("load_core_share", "CPU of load and mock, % of a core", 100)]}


def points(growth):
    """The measured counts, in order, of one kind of growth."""
    return sorted((count for count in growth if count.isdigit()), key=int)


def growth_table(growth, figure, scale):
    """A column for each count, a row for each system; None if nothing was measured."""
    counts = points(growth)
    names = dict.fromkeys(name for count in counts for name, entry in growth[count]["systems"].items()
                          if figure in entry.get("median", {}))
    rows = []
    for name in names:
        figures = [growth[count]["systems"].get(name, {}).get("median", {}).get(figure) for count in counts]
        rows.append([name, *("-" if value is None else chart.number(value * scale) for value in figures)])
    return (["system", *(f"{int(count):,}" for count in counts)], rows) if rows else None


def growth_faults(growth):
    return [f"{int(count):,}: {fault}" for count in points(growth) for fault in faults_of(growth[count])]


def ablation_rows(case):
    base = case["systems"].get("weir", {}).get("median", {})
    columns = [("workers", "cpu_workers_per_exchange"), ("whole", "cpu_whole_per_exchange"), ("whole/event", "cpu_whole_per_event")]
    columns = [column for column in columns if column[1] in base and not ("event" in column[1] and not base.get("events"))]
    rows = []
    for name, entry in case["systems"].items():
        figures, cells = entry.get("median", {}), [name.removeprefix("weir: ") + (" (!)" if entry["faults"] else "")]
        if name == "direct":
            continue
        for _, key in columns:
            known = key in figures and base.get(key)
            cells += [chart.number(figures[key]), f"{figures[key] / base[key]:.2f}"] if known else ["-", "-"]
        rows.append(cells)
    return ["weir with"] + [heading for title, _ in columns for heading in (f"{title} µs", "ratio")], rows


def faults_of(case):
    return [case["note"]] * bool(case["note"]) + [f"{name}: {fault.splitlines()[0]}" for name, entry in case["systems"].items() for fault in entry["faults"][:2]]


def verdict_rows(verdicts):
    def shown(value):
        return "-" if value is None else chart.number(value)

    rows = []
    for v in verdicts:
        against = f"{v.peer} {shown(v.peer_value)}" if v.peer else ""
        ratio = "-" if v.ratio is None else f"{v.ratio:.3g}"
        rows.append([f"{v.number}", v.check, shown(v.value), against, ratio if v.peer else "", f"{v.ceiling:.3g}", v.state])
    return ["#", "check", "weir", "peer", "ratio", "ceiling", ""], rows


def terminal(results, verdicts):
    parts = []
    for title, headings, rows, notes in sections(results):
        parts.append("\n".join([title, table(headings, rows), *(f"  ! {note}" for note in notes)]))
    if verdicts:
        parts.append("targets\n" + table(*verdict_rows(verdicts)))
    return "\n\n".join(parts)


def markdown(results, verdicts):
    machine = results["machine"]
    flags = results["flags"]
    lines = ["# Benchmark of weir", "", f"{machine['date']}, commit {machine['commit'] or 'unknown'}. {machine['cpu']}, "
             f"{machine['cores']} cores, {machine['memory_bytes'] >> 30} GiB, Linux {machine['kernel']}, {machine['system']}"
             + (", in a virtual machine" if machine["hypervisor"] == "yes" else "") + ".", "",
             f"Gateway on core {flags['gateway_cores']}, load and mock on core {flags['load_cores']}; {flags['rounds']} rounds "
             f"(growth and ablations: {flags.get('growth_rounds', '-')}), systems alternating. All of weir on: tokens from its store, "
             "rules, reading, every exchange recorded in SQLite.",
             "", f"Made in {flags.get('minutes', '?')} minutes by", "", f"    {results['command']}", "",
             READING.format(journal=flags.get("journal", "larger"), load=about_load(flags.get("busy_poll", "0"))), ""]
    if results.get("versions"):
        lines += ["Versions: " + "; ".join(f"{name} {version}" for name, version in results["versions"].items() if version) + ".",
                  ""]
    for name, why in results.get("absent", {}).items():
        lines += [f"Not measured: {name}: {why}.", ""]
    if verdicts:
        lines += ["## Targets", "", markdown_table(*verdict_rows(verdicts)), ""]
    lines += ["![CPU by case](report.svg)", ""]
    for title, headings, rows, notes in sections(results):
        lines += [f"## {title}", "", markdown_table(headings, rows), ""] + [f"- {note}" for note in notes] + [""] * bool(notes)
    extras = {key: value for key, value in results.get("extras", {}).items() if isinstance(value, float)}
    if extras:
        lines += ["## Parts", "", markdown_table(["figure", "value"], [[k, chart.number(v)] for k, v in extras.items()]), ""]
    if micros := results.get("extras", {}).get("micro"):
        lines += ["### Micro-benchmarks", "", "Of bench/micro_PART, on the gateway's core: medians.", "", "```"]
        lines += [line for part in micros.values() for line in part] + ["```", ""]
    return "\n".join(lines)


def picture(results):
    page = chart.Page()
    for name, case in results["cases"].items():
        streams = any(entry.get("median", {}).get("events") for entry in case["systems"].values())
        # Of a stream the event is what is paid for; of whole answers and of turns the exchange.
        per = "exchange" if not streams or name == "agent-turn" else "event"
        memory = [(n, e["median"]["rss_per_stream"], None) for n, e in case["systems"].items()
                  if "rss_per_stream" in e.get("median", {})] if name.startswith("idle-streams") else []
        rows = memory or [(n, e["median"][f"cpu_whole_per_{per}"], e["median"][f"cpu_workers_per_{per}"] if n.startswith("weir")
                           else None) for n, e in case["systems"].items() if f"cpu_whole_per_{per}" in e.get("median", {})]
        if rows:
            page.bars(name, "bytes per open stream" if memory else f"CPU µs per {per}", rows)
    growth = results.get("growth", {})
    for kind, figure, unit in (("connections", "cpu_workers_per_exchange", "workers' CPU µs per exchange"),
                               ("connections", "cpu_whole_per_exchange", "whole CPU µs per exchange"),
                               ("streams", "rss_per_stream", "bytes of memory per open stream"),
                               ("workers", "exchanges_per_s", "exchanges per second")):
        series = {}
        for count in points(growth.get(kind, {})):
            for name, entry in growth[kind][count]["systems"].items():
                if figure in entry.get("median", {}):
                    series.setdefault(name, []).append((int(count), entry["median"][figure]))
        if series:
            page.lines(f"growth: {kind}", unit, series)
    for name, case in results.get("ablations", {}).items():
        figure = "cpu_whole_per_event" if case["systems"]["weir"].get("median", {}).get("events") else "cpu_whole_per_exchange"
        rows = [(system.removeprefix("weir: "), entry["median"][figure], None) for system, entry in case["systems"].items()
                if figure in entry.get("median", {})]
        if rows:
            page.bars(f"ablation: {name}", f"whole CPU µs per {figure.rpartition('_')[2]}", rows)
    page.note("Of weir, dark: its worker threads; light: recorder, SQLite and log. Shorter is better.")
    return page.svg()
