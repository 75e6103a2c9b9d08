# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus reads what we write; the documents name only what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ansible_collections.tandem.lemp.plugins.module_utils.agent.metrics import METRICS, Exposition, render

from . import seen_data as data

DOCS = Path(__file__).resolve().parents[3] / "docs"
STATES = ("boot", "replica", "suspecting", "opening", "primary", "closed")


def read(text):
    """Samples as {(name, labels): value}; each series once."""
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples
            samples[key] = sample.value
    return samples


def sampled(status):
    return read(render(status, STATES, data.NOW))


def at(samples, name, **labels):
    return samples.get((name, tuple(sorted(labels.items()))))


def test_everything_that_is_known_is_there() -> None:
    text = render(data.pair(), STATES, data.NOW) + render(data.replica(), STATES, data.NOW)
    paused = data.pair()
    paused["agent"].update(paused_until=data.NOW + 60, alarms=["diverged"])
    text += render(paused, STATES, data.NOW)
    for name, metric in METRICS.items():
        assert re.search(rf"^{name}[ {{]", text, re.MULTILINE), name
        assert f"# HELP {name} {metric.about}\n# TYPE {name} {metric.kind}\n" in text
        assert (metric.kind == "counter") == name.endswith("_total")


def test_the_primary() -> None:
    samples = sampled(data.pair())
    assert at(samples, "tandem_up") == 1
    assert [at(samples, "tandem_role", role=role) for role in ("primary", "replica", "unknown")] == [1, 0, 0]
    assert at(samples, "tandem_database_writable") == 1
    assert at(samples, "tandem_replication_running") is None
    assert at(samples, "tandem_semi_sync_active") == 1
    assert at(samples, "tandem_peer_heard", network="inside") == 1
    assert [at(samples, "tandem_agent_state", state=state) for state in STATES] == [0, 0, 0, 0, 1, 0]
    assert at(samples, "tandem_agent_epoch") == 8
    assert at(samples, "tandem_failover_ready") == 1
    assert at(samples, "tandem_failovers_total") == 1
    assert at(samples, "tandem_transitions_total", rule="peer_dead") == 1
    assert at(samples, "tandem_last_failover_timestamp_seconds") == data.NOW - 4180
    assert at(samples, "tandem_address_held", network="outside") == 1
    assert at(samples, "tandem_disk_free_bytes", path="/var/log") == 1_717_986_918
    assert at(samples, "tandem_certificate_end_timestamp_seconds") == data.NOW + 400 * 86400
    assert at(samples, "tandem_probe", part="web", verdict="up") == 1
    assert at(samples, "tandem_probe", part="web", verdict="down") == 0
    assert at(samples, "tandem_lease_held") == 1
    assert at(samples, "tandem_lease_left_seconds") == 3.7
    assert at(samples, "tandem_notifications_failed_total", channel="pager") == 1
    assert at(samples, "tandem_build_info", version="1", node="node-b", peer="node-a", database="10.11.14-MariaDB-0+deb12u2-log") == 1


def test_the_replica() -> None:
    samples = sampled(data.replica())
    assert at(samples, "tandem_database_writable") == 0
    assert at(samples, "tandem_replication_running") == 1
    assert at(samples, "tandem_replication_lag_seconds") == 0
    assert at(samples, "tandem_lease_held") == 0


def test_alarms() -> None:
    status = data.pair()
    status["agent"]["alarms"] = ["both_open", data.HOSTILE, "both_open", 3]
    samples = sampled(status)
    assert at(samples, "tandem_alarm", alarm="both_open", severity="critical") == 1
    assert at(samples, "tandem_alarm", alarm=data.HOSTILE, severity="warning") == 1
    assert sum(name == "tandem_alarm" for name, _labels in samples) == 2


def test_unknown_is_absent_not_zero() -> None:
    status = data.replica()
    status["database"]["role"] = None
    status["database"]["replication"] = None
    status["fault"] = None
    samples = sampled(status)
    assert at(samples, "tandem_role", role="unknown") == 1
    for name in ("tandem_database_writable", "tandem_replication_lag_seconds", "tandem_fault", "tandem_failover_ready"):
        assert at(samples, name) is None
    assert sampled({}) == {
        ("tandem_up", ()): 1,
        ("tandem_build_info", (("database", ""), ("node", ""), ("peer", ""), ("version", ""))): 1,
        **{("tandem_role", (("role", role),)): float(role == "unknown") for role in ("primary", "replica", "unknown")},
    }


def test_a_write_that_was_tried_says_more_than_the_role() -> None:
    status = data.pair()
    status["database"]["writable"] = False
    assert at(sampled(status), "tandem_database_writable") == 0


def test_a_lag_of_stopped_replication_is_not_known() -> None:
    status = data.replica()
    status["database"]["replication"].update(running=False, lag=0.0)
    assert at(sampled(status), "tandem_replication_lag_seconds") is None
    assert at(sampled(status), "tandem_replication_running") == 0


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "new\nline", "\\n", "trailing\\", 'a="b",c', "}", "ümlaut", "", " "])
def test_labels_come_back_as_they_were(name) -> None:
    status = {"disks": [{"path": name, "free": 5, "size": 7}]}
    assert at(sampled(status), "tandem_disk_free_bytes", path=name) == 5


def test_the_same_disk_twice_is_one_series() -> None:
    status = {"disks": [{"path": "/", "free": 5}, {"path": "/", "free": 6}]}
    assert at(sampled(status), "tandem_disk_free_bytes", path="/") == 5


def test_a_flood_of_labels_is_bounded() -> None:
    status = {"peer": {"rejected": {str(n): n for n in range(5000)}}}
    assert len(render(status)) < 10_000


def test_nothing_crashes_it() -> None:
    for status in [*data.STRANGE, *data.without(data.pair())]:
        text = render(status, STATES, data.NOW)
        text.encode()
        assert text.startswith("# HELP tandem_up")
    hostile = {data.HOSTILE: data.HOSTILE, "findings": {data.HOSTILE + "\ud800": {"verdict": data.HOSTILE}}, "addresses": {data.HOSTILE: True}}
    assert sampled(hostile)[("tandem_address_held", (("network", data.HOSTILE),))] == 1
    render(hostile).encode()


def test_a_metric_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(KeyError):
        Exposition().add("tandem_nonsense", 1)
    with pytest.raises(ValueError, match="labels"):
        Exposition().add("tandem_peer_heard", 1)


@pytest.mark.parametrize("command", [["check", "rules", DOCS / "monitoring" / "alerts.yml"], ["test", "rules", Path(__file__).parent / "alerts_test.yml"]])
def test_prometheus_own_tool_agrees(command) -> None:
    assert shutil.which("promtool"), "install the Debian package prometheus (make setup does so)"
    done = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def names(expression):
    return set(re.findall(r"\btandem_[a-z_]+", expression))


def test_atlas() -> None:
    samples = sampled(data.pair())
    assert at(samples, "tandem_atlas_up") == 1
    assert [at(samples, "tandem_atlas_state", state=word) for word in ("up", "dead", "frozen", "refuses", "unknown")] == [1, 0, 0, 0, 0]
    reader = {"address": "127.0.0.1:6448", "type": "ro"}
    assert [at(samples, "tandem_atlas_backend_state", **reader, state=word) for word in ("up", "offline")] == [1, 0]
    assert at(samples, "tandem_atlas_passes", kind="writes") == 1
    assert at(samples, "tandem_atlas_accounts") == 1


def test_a_frozen_atlas_and_a_reader_that_the_agent_has_taken_offline() -> None:
    status = data.pair()
    status["atlas"].update(state="frozen", reads=None, writes=None, accounts=None, restarts=2)
    status["atlas"]["backends"][1].update(state="offline", answers=False, taken_offline=True)
    samples = sampled(status)
    reader = {"address": "127.0.0.1:6448", "type": "ro"}
    assert at(samples, "tandem_atlas_up") == 0
    assert at(samples, "tandem_atlas_state", state="frozen") == 1
    assert at(samples, "tandem_atlas_passes", kind="reads") is None
    assert at(samples, "tandem_atlas_backend_state", **reader, state="offline") == 1
    assert at(samples, "tandem_atlas_backend_answers", **reader) == 0
    assert at(samples, "tandem_atlas_backend_taken_offline", **reader) == 1
    assert at(samples, "tandem_atlas_accounts") is None
    assert at(samples, "tandem_atlas_restarts_total") == 2


def test_an_atlas_of_which_nothing_is_known_is_neither_up_nor_down() -> None:
    status = data.pair()
    status["atlas"] = {"state": "unknown", "backends": "nonsense"}
    samples = sampled(status)
    assert at(samples, "tandem_atlas_up") is None
    assert at(samples, "tandem_atlas_state", state="unknown") == 1
    del status["atlas"]
    assert not any(name.startswith("tandem_atlas") for name, _labels in sampled(status))


def test_every_metric_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| `(tandem_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", (DOCS / "monitoring.md").read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: (kind, unit.strip(), labels.strip(), about.strip()) for name, kind, unit, labels, about in rows}
    expected = {n: (m.kind, m.unit, ", ".join(f"`{label}`" for label in m.labels), m.about) for n, m in METRICS.items()}
    assert documented == expected


def test_every_query_of_the_dashboard_uses_a_metric_that_exists() -> None:
    dashboard = json.loads((DOCS / "monitoring" / "grafana.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    expressions += [variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert len(expressions) > 10
    for expression in expressions:
        assert names(expression), expression
        assert names(expression) <= set(METRICS), expression
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(identifiers) == len(set(identifiers))


def test_every_alert_uses_metrics_and_labels_that_exist() -> None:
    rules = yaml.safe_load((DOCS / "monitoring" / "alerts.yml").read_text(encoding="utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in alerts}) == len(alerts) > 10
    values = {"role": ("primary", "replica", "unknown"), "verdict": ("starting", "up", "down", "unknown"), "look": ("ok", "broken", "silent", "busy")}
    for rule in alerts:
        assert names(rule["expr"]) <= set(METRICS), rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() >= {"summary", "description"}
        for name, chosen in re.findall(r"(tandem_\w+)\{([^}]*)\}", rule["expr"]):
            for label, value in re.findall(r'(\w+)=~?"([^"]*)"', chosen):
                assert label in (*METRICS[name].labels, "job", "pair", "instance"), rule["alert"]
                for one in value.split("|"):
                    assert one in values.get(label, (one,)), rule["alert"]
