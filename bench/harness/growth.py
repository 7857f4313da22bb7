"""How cost grows with connections, open streams and workers (`--growth`), and what each part costs (`--ablate`). Their runs
are shorter and their rounds fewer than those of the cases: a curve and a ratio are asked for, with many points."""
import pathlib
import tomllib

from harness import load, processes, runner, systems

ABLATIONS = pathlib.Path(__file__).resolve().parent.parent / "ablations.toml"
CONNECTIONS = (1, 10, 100, 1000, 10_000)
STREAMS = (1000, 10_000, 50_000)
SECONDS, WARM_UP = 1.2, 0.4  # of what is not paced
PORTS_EACH = 20_000  # connections from one loopback address, well below the usual range of 28,000 ports


def sources_for(connections):
    return max(1, -(-connections // PORTS_EACH))


def upstream_ports():
    """How many connections one gateway can have to one provider's address."""
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    return high - low


def short(options, name, scenario, overrides, warm_up=0.0, sources=1):
    """A case of so few seconds that many fit. A paced scenario needs its own."""
    case = load.Case(name, scenario, overrides, options.seconds, options.warm_up, sources)
    if not case.paced:
        case.seconds = options.seconds or SECONDS
        case.warm_up = options.warm_up if options.warm_up >= 0 else WARM_UP
    if options.warm_up < 0 and warm_up:
        case.warm_up = warm_up
    return case


def connections(here, mock_pid, options, peers):
    """CPU per exchange against connections."""
    result = {}
    for count in options.growth_connections or CONNECTIONS:
        case = short(options, f"connections-{count}", "small", {"connections": count}, sources=sources_for(count),
                     warm_up=max(WARM_UP, count / 4000))
        result[str(min(count, processes.connections_max()))] = runner.measure(here, mock_pid, case, [systems.Weir(here), *peers],
                                                                             options.growth_rounds)
    return result


def streams_that_fit(wanted):
    """(counts, what a reader must know): as many of the wanted ones as files and ports allow, and the greatest number that
    they do instead of those beyond it."""
    files, ports = processes.connections_max(), upstream_ports()
    most = min(files, ports)
    counts, notes = sorted({min(count, most) for count in wanted}), []
    for count in wanted:
        if count > files:
            notes.append(f"{count:,} streams: {most:,} instead; the limit of open files (ulimit -n) allows {files:,}, of two sockets each")
        elif count > ports:
            notes.append(f"{count:,} streams: {most:,} instead; one provider's address can be reached from {ports:,} ports "
                         '(sysctl -w net.ipv4.ip_local_port_range="1024 65535" gives more)')
    return counts, notes


def streams(here, mock_pid, options, peers):
    """Memory against open streams: a state, which one round tells."""
    counts, notes = streams_that_fit(options.growth_streams or STREAMS)
    result = {}
    for note in notes:
        runner.say(f"  {note}")
    for count in counts:
        case = short(options, f"streams-{count}", "idle-streams", {"connections": count}, sources=sources_for(count),
                     warm_up=2 + count / 2500)
        result[str(count)] = runner.measure(here, mock_pid, case, [systems.Weir(here), *peers], 1)
    return result, notes


def workers(here, mock_pid, options):
    """Throughput with one and two workers. The load keeps its cores: with fewer than three cores in all, the second worker
    shares one with it, and the figures are a lower bound."""
    cores = [core for part in (here.gateway_cores, here.load_cores) for core in part.split(",")]
    result = {"cores": {}}
    for count in (1, 2):
        variant = systems.Variant(name="weir", workers=count, cores=",".join(dict.fromkeys(cores[:count])))
        result["cores"][str(count)] = variant.cores
        case = short(options, f"workers-{count}", "small", {"connections": 128})
        result[str(count)] = runner.measure(here, mock_pid, case, [systems.Weir(here, variant)], options.growth_rounds)
    return result


def measure(here, mock_pid, options, peers):
    grown, notes = streams(here, mock_pid, options, peers)
    return {"connections": connections(here, mock_pid, options, peers), "streams": grown,
            "workers": workers(here, mock_pid, options), "notes": notes}


# ---- ablations


def read_ablations():
    with open(ABLATIONS, "rb") as file:
        return tomllib.load(file)["ablation"]


def ablate(here, mock_pid, options):
    """{scenario: {"systems": ..., "skipped": {name: why}}}; the usual configuration is "weir", variants have their names.
    A front that ends TLS for the mock runs on the load's cores."""
    groups = {}
    for entry in read_ablations():
        for scenario in entry.get("scenarios", ["small"]):
            groups.setdefault(scenario, []).append(entry)
    result, front = {}, systems.Haproxy(here, cores=here.load_cores)
    front_missing = front.unavailable()
    if not front_missing:
        front.start()
    try:
        for scenario, entries in groups.items():
            if options.scenario and scenario not in options.scenario:
                continue
            candidates, skipped = [systems.Weir(here)], {}
            for entry in entries:
                if entry.get("tls_upstream") and front_missing:
                    skipped[entry["name"]] = f"needs HAProxy before the mock: {front_missing}"
                    continue
                candidate = systems.Weir(here, variant_of(entry, front))
                if why := candidate.unavailable():
                    skipped[entry["name"]] = why
                    continue
                candidates.append(candidate)
            case = short(options, scenario, scenario, {})
            result[scenario] = runner.measure(here, mock_pid, case, candidates, options.growth_rounds) | {"skipped": skipped}
    finally:
        front.stop()
    return result


def variant_of(entry, front):
    return systems.Variant(name=f"weir: {entry['name']}", options=tuple(entry.get("options", [])),
                           rules=entry.get("rules", True), recording=entry.get("recording", "full"),
                           tls_upstream=front.tls_port if entry.get("tls_upstream") else 0, set=entry.get("set", {}),
                           sinks=tuple(entry.get("sinks", ())))
