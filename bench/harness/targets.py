"""Compares a run's figures with the ceilings of bench/targets.toml."""
import dataclasses
import pathlib
import tomllib

PATH = pathlib.Path(__file__).resolve().parent.parent / "targets.toml"


@dataclasses.dataclass
class Verdict:
    number: int
    check: str
    peer: str  # "" for a limit
    ceiling: float
    value: float | None  # weir's figure
    peer_value: float | None
    ratio: float | None
    state: str  # "met", "missed", "not measured"


def read(path=PATH):
    with open(path, "rb") as file:
        return tomllib.load(file)["target"]


def figure_of(results, case, system, name):
    entry = results["cases"].get(case, {}).get("systems", {}).get(system, {})
    # A run with wrong answers is no measurement.
    return None if entry.get("faults") else entry.get("median", {}).get(name)


def judge(results, targets):
    verdicts = []
    for target in targets:
        if "from" in target:
            value = results.get("extras", {}).get(target["from"])
        else:
            value = figure_of(results, target["case"], target.get("system", "weir"), target["figure"])
        for peer, ceiling in target.get("ratio", {}).items():
            other = figure_of(results, target["case"], peer, target["figure"])
            ratio = value / other if value is not None and other and other > 0 else None
            verdicts.append(Verdict(target["number"], target["check"], peer, ceiling, value, other, ratio,
                                    _state(ratio, ratio is not None and ratio <= ceiling)))
        for key, holds in (("limit", lambda v, c: v <= c), ("at_least", lambda v, c: v >= c)):
            if key in target:
                ceiling = target[key]
                verdicts.append(Verdict(target["number"], target["check"], "", ceiling, value, None, None,
                                        _state(value, value is not None and holds(value, ceiling))))
    return verdicts


def _state(known, met):
    if known is None:
        return "not measured"
    return "met" if met else "missed"
