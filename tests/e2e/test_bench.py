"""The benchmark's own arithmetic: what it samples, judges and draws. That it runs is what `./dev bench --smoke` tests."""
import argparse
import json
import pathlib
import subprocess
import sys
import tomllib
import xml.etree.ElementTree

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "bench"))
import run  # noqa: E402
from harness import chart, extras, figures, growth, load, report, sample, systems, targets  # noqa: E402

BURNER = """
import os, sys, time
sys.stdin.readline()
if os.fork() == 0:
    end = time.process_time() + 0.3
    while time.process_time() < end: pass
    print("burnt", flush=True)
sys.stdin.read()
"""


def test_a_sample_covers_children_and_their_cpu_time():
    parent = subprocess.Popen([sys.executable, "-c", BURNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        before = sample.take(parent.pid)
        parent.stdin.write("now\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "burnt\n"
        after = sample.take(parent.pid)
        assert len(sample.family(parent.pid)) == 2
        used = sample.between(before, after)
        assert 250_000 < used.whole_us < 1_000_000
        assert used.cpu_us["workers"] == used.whole_us
        assert 0 < used.user_shares[""] == used.user_shares["workers"] <= 1
        assert after.rss_peak >= after.rss > 1 << 20 and after.anonymous < after.rss
    finally:
        parent.communicate("")


def test_a_process_that_is_gone_is_no_sample_of_nothing():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(ProcessLookupError):
        sample.take(gone.pid)


def test_weir_s_threads_are_told_apart():
    names = ["weir-0", "weir-12", "weir-recorder", "weir-log", "weir", "nginx", "iou-wrk-1"]
    assert [sample.group_of(name) for name in names] == ["workers", "workers", "recorder", "log", "control", "workers", "workers"]


def thread(group, ns):
    return sample.Thread(group, ns, 0, 0, 0, 0)


def one_run(settled):
    samples = [sample.Sample(at, {(1, 1): thread("workers", w), (1, 2): thread("recorder", r)}, 1 << 20, 1 << 20, 1 << 19)
               for at, w, r in ((0, 0, 0), (10**9, 8_000_000, 1_000_000))]
    nothing = sample.between(samples[0], samples[0])
    results = {"exchanges": 1000, "events": 4000, "bytes": 1, "seconds": 1.0, "open_streams_max": 0,
               "latency_us": {"event": {"count": 4000, "p50": 120.0, "p99": 300.0}}}
    observed = load.Observed(results, samples[0], samples[0], samples[1], None, nothing, nothing, "")
    return figures.of_run(load.Case("paced", "sse-paced"), observed, settled, {"event_p50": 100.0, "event_p99": 250.0})


def test_cost_is_per_exchange_and_per_event_and_the_recorder_s_late_work_is_counted():
    found = one_run(({"recorder": 30_000.0}, 2000))  # 2,000 recorded with the warm-up, in 30 ms until it had caught up
    assert found["cpu_workers_per_exchange"] == pytest.approx(8.0)
    assert found["cpu_recorder_per_exchange"] == pytest.approx(15.0)
    assert found["cpu_whole_per_exchange"] == pytest.approx(23.0)
    assert found["cpu_whole_per_event"] == pytest.approx(23.0 / 4)
    assert found["added_event_p50"] == pytest.approx(20.0)
    assert found["added_event_p99"] == pytest.approx(50.0)


def test_medians_are_of_what_every_round_has():
    assert figures.medians([{"a": 1, "b": 1}, {"a": 9}, {"a": 2}]) == {"a": 2}


def judged(weir, nginx, target):
    cases = {"small": {"systems": {"weir": weir, "nginx": nginx}}}
    return [v.state for v in targets.judge({"cases": cases, "extras": {"calls": 1.5}}, [{"number": 1, "check": "c"} | target])]


@pytest.mark.parametrize("cost, faults, state", [(8.0, [], "met"), (8.1, [], "missed"), (5.0, ["wrong bytes"], "not measured")])
def test_a_ratio_above_its_ceiling_is_missed_and_wrong_answers_are_no_measurement(cost, faults, state):
    target = {"case": "small", "figure": "cpu", "ratio": {"nginx": 0.8}}
    assert judged({"median": {"cpu": cost}, "faults": faults}, {"median": {"cpu": 10.0}, "faults": []}, target) == [state]


@pytest.mark.parametrize("target, state", [({"from": "calls", "limit": 1.5}, "met"), ({"from": "calls", "limit": 1.0}, "missed"),
                                           ({"from": "calls", "at_least": 2.0}, "missed"), ({"from": "none", "limit": 1.0},
                                                                                            "not measured")])
def test_limits_hold_in_their_direction(target, state):
    assert judged({"faults": []}, {"faults": []}, target) == [state]


def test_every_target_names_a_case_and_a_figure_that_exist():
    with open(load.SCENARIOS.parent / "cases.toml", "rb") as file:
        cases = tomllib.load(file)
    derived = set(one_run(({"recorder": 30_000.0}, 2000))) | {"rss_per_stream"}
    wanted = targets.read()
    assert {target["number"] for target in wanted} == set(range(1, 15))
    for target in wanted:
        if "from" not in target:
            assert target["case"] in cases and target["figure"] in derived
            if system := target.get("system"):
                assert system in [variant["name"] for variant in cases[target["case"]]["variants"]]
    for name, case in cases.items():
        load.Case(name, case.get("scenario", name), case.get("set", {}))
    for entry in growth.read_ablations():
        for scenario in entry.get("scenarios", []):
            load.Case(entry["name"], scenario)


def test_the_report_says_what_was_measured_and_the_picture_is_xml():
    case = {"scenario": "small", "description": "1 KB", "set": {"connections": 9}, "note": "fewer <than> wanted", "systems": {
        "weir": {"median": {"exchanges_per_s": 100.0, "cpu_workers_per_exchange": 7.0, "cpu_whole_per_exchange": 12.0},
                 "faults": []},
        "portkey": {"median": {"exchanges_per_s": 1.0, "cpu_workers_per_exchange": 1300.0, "cpu_whole_per_exchange": 1300.0},
                    "faults": ["2 answers"]}}}
    results = {"cases": {"small": case}}
    text = report.terminal(results, [])
    assert "small: 1 KB (connections = 9)" in text and "1,300" in text and "portkey (!)" in text and "2 answers" in text
    page = xml.etree.ElementTree.fromstring(report.picture(results))
    widths = [float(e.get("width")) for e in page.iter() if e.tag.endswith("rect") and e.get("width") != "100%"]
    assert max(widths) <= chart.WIDTH  # the peer's bar is cut


def test_strace_s_table_is_read():
    text = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 97.12    0.012345          12       1000         7 io_uring_enter
  2.88    0.000345           1         30           setsockopt
------ ----------- ----------- --------- --------- ----------------
100.00    0.012690           1       1030         7 total
"""
    assert extras.parse_strace(text) == {"io_uring_enter": 1000, "setsockopt": 30}


def test_a_scenario_asks_for_no_more_connections_than_there_are_files(monkeypatch):
    monkeypatch.setattr(load.processes, "connections_max", lambda: 50)
    case = load.Case("small", "small")
    assert case.set == {"connections": 50} and "50 connections instead of 64" in case.note


def test_a_case_that_names_its_peers_is_asked_of_weir_and_of_the_mock_too():
    place = systems.Place(None, None, None, pathlib.Path(), "0", "1", {})
    case = load.Case("half-load", "sse-paced", systems=("nginx",))
    every = [systems.Direct(place), systems.Weir(place), systems.Nginx(place), systems.Haproxy(place), systems.Litellm(place)]
    assert [system.name for system in every if case.runs(system)] == ["direct", "weir", "nginx"]


def test_what_compiles_as_it_goes_is_warmed_up_longer_unless_told_otherwise():
    case = load.Case("small", "small").warmed(*systems.Portkey.warmed)
    assert (case.warm_up, case.seconds) == (3, 3)
    told = load.Case("small", "small", seconds=1, warm_up=0).warmed(*systems.Portkey.warmed)
    assert (told.warm_up, told.seconds) == (0, 1)
    paced = load.Case("agent-turn", "agent-turn").warmed(*systems.Portkey.warmed)
    own = load.Case("agent-turn", "agent-turn").values  # long enough
    assert own["warm_up"] > systems.Portkey.warmed[0]
    assert (paced.warm_up, paced.seconds) == (own["warm_up"], own["seconds"])


def test_a_system_that_paced_streams_would_overload_gets_fewer():
    place = systems.Place(None, None, None, pathlib.Path(), "0", "1", {})
    turn = load.Case("agent-turn", "agent-turn")
    assert systems.Portkey(place).fitted(turn).set == {"connections": 100} and systems.Weir(place).fitted(turn).set == {}
    assert systems.Portkey(place).fitted(load.Case("small", "small")).set == {}  # a loop that waits for each answer


def test_streams_that_do_not_fit_are_cut_down_and_said(monkeypatch):
    monkeypatch.setattr(growth.processes, "connections_max", lambda: 9_900)
    monkeypatch.setattr(growth, "upstream_ports", lambda: 28_000)
    counts, notes = growth.streams_that_fit((1000, 10_000, 50_000))
    assert counts == [1000, 9_900]
    assert [note.partition(":")[0] for note in notes] == ["10,000 streams", "50,000 streams"] and "9,900 instead" in notes[1]
    monkeypatch.setattr(growth.processes, "connections_max", lambda: 200_000)
    counts, notes = growth.streams_that_fit((1000, 50_000))
    assert counts == [1000, 28_000] and "ip_local_port_range" in notes[0]


def measured(**figures_of_weir):
    return {"scenario": "small", "description": "1 KB", "set": {}, "note": "",
            "systems": {"weir": {"median": figures_of_weir, "faults": []}}}


def grown_results():
    return {"machine": {"date": "2026-11-22", "commit": "0123", "cpu": "a CPU", "cores": 2, "memory_bytes": 1 << 32, "kernel": "6.18",
                        "system": "Debian", "hypervisor": "no"},
            "flags": {"gateway_cores": "0", "load_cores": "1", "rounds": 5, "growth_rounds": 3}, "command": "./dev bench --report",
            "cases": {"small": measured(cpu_whole_per_exchange=12.0, cpu_workers_per_exchange=7.0, exchanges_per_s=1.0)},
            "growth": {"connections": {str(n): measured(cpu_workers_per_exchange=7.0 + n) for n in (1, 10)}, "notes": ["fewer"],
                       "streams": {"1000": measured(rss_per_stream=4096.0, private_per_stream=2048.0)},
                       "workers": {"cores": {"1": "0", "2": "0,1"}, "1": measured(exchanges_per_s=50_000.0),
                                   "2": measured(exchanges_per_s=90_000.0)}},
            "ablations": {"small": measured(cpu_whole_per_exchange=12.0, cpu_workers_per_exchange=7.0) | {"skipped": {}}}}


def test_growth_is_a_table_and_a_curve():
    text = report.markdown(grown_results(), [])
    assert "| system | 1 | 10 |" in text and "| weir | 8.00 | 17.0 |" in text
    assert "by workers (one worker on core 0, two on 0,1)" in text and "| weir | 50,000 | 90,000 |" in text
    assert "of them private by streams" in text and "- fewer" in text
    page = xml.etree.ElementTree.fromstring(report.picture(grown_results()))
    assert sum(element.tag.endswith("circle") for element in page.iter()) == 2 + 1 + 2


def test_a_report_names_no_path_of_the_machine(tmp_path, monkeypatch):
    results = grown_results()
    results["cases"]["small"]["systems"]["weir"]["faults"] = [
        f"weir: did not start: /tmp/weir-bench-ab_1/weir.toml:3: {run.ROOT}/build-release/src/weir"]
    run.write(argparse.Namespace(out=str(tmp_path)), results, [])
    written = "".join((tmp_path / name).read_text() for name in ("report.md", "results.json", "report.svg"))
    assert str(run.ROOT) not in written and "/tmp/" not in written and "FOLDER/weir.toml:3: ./build-release" in written
    json.loads((tmp_path / "results.json").read_text())
    monkeypatch.setattr(run.sys, "argv", ["run.py", "--build", str(tmp_path), "--report"])
    assert run.command() == "./dev bench --report"
