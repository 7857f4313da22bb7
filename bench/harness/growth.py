"""How cost grows with connections, open streams and workers (`--growth`), and what each part costs (`--ablate`)."""
import pathlib
import tomllib

from harness import load, processes, runner, systems

ABLATIONS = pathlib.Path(__file__).resolve().parent.parent / "ablations.toml"
CONNECTIONS = (1, 10, 100, 1000, 10_000)
STREAMS = (1000, 10_000, 50_000)
PORTS_EACH = 20_000  # connections from one loopback address, well below the usual range of 28,000 ports


def sources_for(connections):
    return max(1, -(-connections // PORTS_EACH))


def upstream_ports():
    """How many connections one gateway can have to one provider's address."""
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    return high - low


def connections(here, mock_pid, options, peers):
    """CPU per exchange against connections."""
    result = {}
    for count in options.growth_connections or CONNECTIONS:
        case = load.Case(f"connections-{count}", "small", {"connections": count}, seconds=options.seconds,
                         warm_up=options.warm_up if options.warm_up >= 0 else (3 if count >= 1000 else 1),
                         sources=sources_for(count))
        result[str(count)] = runner.measure(here, mock_pid, case, [systems.Weir(here), *peers], options.rounds)
    return result


def streams(here, mock_pid, options, peers):
    """Memory against open streams. More than the range of ports holds is left out, and says why."""
    result = {}
    for count in options.growth_streams or STREAMS:
        if count > processes.connections_max():
            runner.say(f"  {count} streams: more than the limit of open files allows ({processes.connections_max()})")
            if str(processes.connections_max()) in result:
                continue
            count = processes.connections_max()
        if count > upstream_ports():
            runner.say(f"  {count} streams: one address has {upstream_ports()} ports for connections to the provider; "
                       'sysctl -w net.ipv4.ip_local_port_range="1024 65535" gives more')
            continue
        case = load.Case(f"streams-{count}", "idle-streams", {"connections": count}, seconds=options.seconds,
                         warm_up=options.warm_up if options.warm_up >= 0 else 2 + count / 2500, sources=sources_for(count))
        result[str(count)] = runner.measure(here, mock_pid, case, [systems.Weir(here), *peers], options.rounds)
    return result


def workers(here, mock_pid, options):
    """Throughput with one and two workers. The load keeps its cores: with fewer than three cores in all, the second worker
    shares one with it, and the figures are a lower bound."""
    cores = [core for part in (here.gateway_cores, here.load_cores) for core in part.split(",")]
    result = {"cores": {}}
    for count in (1, 2):
        variant = systems.Variant(name="weir", workers=count, cores=",".join(dict.fromkeys(cores[:count])))
        result["cores"][str(count)] = variant.cores
        case = load.Case(f"workers-{count}", "small", {"connections": 128}, seconds=options.seconds, warm_up=options.warm_up)
        result[str(count)] = runner.measure(here, mock_pid, case, [systems.Weir(here, variant)], options.rounds)
    return result


def measure(here, mock_pid, options, peers):
    return {"connections": connections(here, mock_pid, options, peers), "streams": streams(here, mock_pid, options, peers),
            "workers": workers(here, mock_pid, options)}


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
            case = load.Case(scenario, scenario, seconds=options.seconds, warm_up=options.warm_up)
            result[scenario] = runner.measure(here, mock_pid, case, candidates, options.rounds) | {"skipped": skipped}
    finally:
        front.stop()
    return result


def variant_of(entry, front):
    return systems.Variant(name=f"weir: {entry['name']}", options=tuple(entry.get("options", [])),
                           rules=entry.get("rules", True), recording=entry.get("recording", "full"),
                           tls_upstream=front.tls_port if entry.get("tls_upstream") else 0, set=entry.get("set", {}))
