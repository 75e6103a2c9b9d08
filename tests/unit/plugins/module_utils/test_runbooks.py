# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said to a runbook is understood, or refused before anything is touched."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment
from jinja2.nativetypes import NativeEnvironment

from ansible_collections.tandem.lemp.plugins.module_utils.runbooks import RUNBOOKS, faults, limited, strangers

ROOT = Path(__file__).resolve().parents[4]
NODES = ("node-a", "node-b")


def told(runbook, **said):
    return " ".join(faults([runbook], said, NODES, lambda file: "there is no directory /nowhere" if file.startswith("/nowhere") else ""))


@pytest.mark.parametrize(
    ("runbook", "said", "words"),
    [
        ("switchover", {"max_puase": 3}, "There is no option max_puase. Did you mean max_pause?"),
        ("switchover", {"move_vip": True}, "Did you mean move_vips?"),
        ("switchover", {"confrim": "yes"}, "Did you mean confirm?"),
        ("switchover", {"target": "node-a"}, "There is no option target. Did you mean to?"),
        ("fence", {"node": "node-a", "driver": "grants"}, "Did you mean drivers?"),
        ("fence", {"target": "node-a"}, "Did you mean node? Say -e node= with node-a or node-b."),
        ("fence", {}, "Say -e node= with node-a or node-b."),
        ("fence", {"node": "all"}, "node: all is no node of this pair. Name node-a or node-b."),
        ("unfence", {"node": "node-a,node-b"}, "is no node of this pair"),
        ("fence", {"node": "node-a", "drivers": "read_only,firewall"}, "drivers: firewall is none of read_only, haproxy, atlas, grants."),
        ("switchover", {"to": "client"}, "to: client is no node of this pair."),
        ("fence", {"node": "node-a", "drivers": "restore"}, "drivers: restore is none of read_only, haproxy, atlas, grants."),
        ("switchover", {"max_pause": "two"}, "max_pause: two is no number."),
        ("switchover", {"drain": "nan"}, "drain: nan is no number."),
        ("failover", {"peer_is": "daed"}, "peer_is: daed is none of dead, unknown."),
        ("failover", {"force_fence": "maybe"}, "force_fence: say yes or no, not maybe."),
        ("backup", {"only": "binlog"}, "only: binlog is none of binlogs."),
        ("backup", {"fetch": "backups"}, "fetch: backups is no absolute path. Begin it with /."),
        ("backup", {"fetch": ""}, "fetch: nothing is no absolute path."),
        ("restore", {"scratch": "remvoe"}, "scratch: remvoe is none of remove, yes, no."),
        ("rolling_update", {"reboot": "yes"}, "reboot: yes is none of auto, always, never."),
        ("status", {"fail_on": "warn"}, "fail_on: warn is none of never, degraded, down."),
        ("switchover", {"report_file": "/nowhere/report.json"}, "report_file: /nowhere/report.json cannot be written here"),
        ("rolling_update", {"fail_on": "never"}, "rolling_update.yml has no option fail_on; status.yml, check.yml has."),
        ("switchover", {"peer_is": "dead"}, "switchover.yml has no option peer_is; failover.yml, unfence.yml has."),
        ("failback", {"discrad": True}, "Did you mean discard?"),
        ("restore", {"point": ""}, "point: nothing was said. Leave it out, or say which."),
        ("restore", {"backup": "latest", "until": None}, "until: nothing was said."),
        ("restore", {"backup": " "}, "backup: nothing was said."),
        ("restore", {"directory": ""}, "directory: nothing is no absolute path."),
        ("backup", {"directory": "backups"}, "directory: backups is no absolute path."),
        ("status", {"_raw_params": "fail_on = degraded"}, "'fail_on = degraded' is no NAME=VALUE. Write -e NAME=VALUE without blanks"),
        ("restore", {"point": "2026-11-21", "_raw_params": "10:00:00"}, "quote a value with blanks: -e point=\"'2026-11-21 10:00:00'\"."),
        ("my_own_playbook", {"_raw_params": "yes"}, "'yes' is no NAME=VALUE."),
        ("rolling_update", {"reboot": "Always"}, "reboot: Always is none of auto, always, never."),
        ("rolling_update", {"upgrade": "None"}, "upgrade: None is none of safe, dist, none."),
        ("backup", {"only": "Binlogs"}, "only: Binlogs is none of binlogs."),
        ("status", {"fail_on": "DOWN"}, "fail_on: DOWN is none of never, degraded, down."),
        ("fence", {"node": "node-a", "drivers": "Read_only"}, "drivers: Read_only is none of"),
    ],
)
def test_what_makes_no_sense_is_named(runbook, said, words):
    assert words in told(runbook, **said)


@pytest.mark.parametrize(
    ("runbook", "said"),
    [
        ("switchover", {"to": "node-b", "confirm": "yes", "max_pause": "3.5", "drain": 0, "move_vips": "true", "report_file": "r.json"}),
        ("switchover", {"tandem_secret_operator": "x", "ansible_become_password": "x", "awx_job_id": 7, "database_max_connections": 9}),
        ("failback", {"to": "node-a", "move_vips": False, "max_lag": 1, "discard": "no", "timeout": 60}),
        ("fence", {"node": "node-a", "drivers": "grants, read_only"}),
        ("unfence", {"node": "node-a", "drivers": "restore"}),
        ("restore", {"scratch": True, "point": "0-1-7"}),
        ("restore", {"scratch": "remove"}),
        ("restore", {"scratch": "Yes", "point": "latest", "directory": "/srv/backups"}),
        ("backup", {"from": "{{ groups.tandem[0] }}", "keep": 3, "fetch": "/srv/backups"}),
        ("my_own_playbook", {"anything": 1}),
    ],
)
def test_what_makes_sense_is_left_alone(runbook, said):
    assert told(runbook, **said) == ""


@pytest.mark.parametrize("runbook", ["fence", "unfence"])
def test_blanks_between_drivers_are_understood_by_the_playbook_too(runbook):
    (play,) = (play for play in yaml.safe_load((ROOT / "playbooks" / f"{runbook}.yml").read_text(encoding="utf-8")) if "module_defaults" in play)
    env = NativeEnvironment()
    env.filters["split"] = str.split
    text = play["module_defaults"]["tandem.lemp.write_fence"]["drivers"]
    assert env.from_string(text).render(drivers="grants, read_only") == ["grants", "read_only"]


@pytest.mark.parametrize(
    ("runbook", "said", "played", "refused"),
    [
        ("fence", {"node": "node-a"}, ["node-b"], True),
        ("status", {}, ["node-b"], True),
        ("switchover", {}, ["node-b"], True),
        ("switchover", {}, ["node-b", "node-a", "client"], False),
        ("backup", {}, ["node-b"], False),
        ("restore", {"point": "latest"}, ["node-b"], True),
        ("restore", {"point": "latest", "scratch": "yes"}, ["node-b"], False),
        ("restore", {"scratch": "no"}, ["node-b"], True),
        ("my_own_playbook", {}, ["node-b"], False),
    ],
)
def test_a_runbook_for_both_nodes_is_not_limited_to_one(runbook, said, played, refused):
    assert ("--limit" in limited([runbook], said, NODES, played)) is refused


def seed_timeout(**said):
    """As rejoin.yml works it out; None: the module's own."""
    play = yaml.safe_load((ROOT / "playbooks" / "rejoin.yml").read_text(encoding="utf-8"))[-1]
    text = Environment(autoescape=True).from_string(play["module_defaults"]["tandem.lemp.rejoin"]["seed_timeout"]).render(omit="", **said)
    return int(text) if text else None


def test_the_deadline_of_a_failback_is_not_that_of_the_copy():
    imported = [play for play in yaml.safe_load((ROOT / "playbooks" / "failback.yml").read_text(encoding="utf-8"))
                if play.get("ansible.builtin.import_playbook") == "rejoin.yml"]  # fmt: skip
    within = imported[0].get("vars", {})
    assert seed_timeout(**within, deadline=20) is None
    assert seed_timeout(**within, deadline=20, copy_deadline=3600) == 3600
    assert told("failback", deadline=20, copy_deadline=3600) == ""
    assert seed_timeout(deadline=3600) == seed_timeout(copy_deadline=3600) == 3600
    assert seed_timeout() is None
    assert told("rejoin", deadline=3600) == told("rejoin", copy_deadline=3600) == ""


def ends_before_its_plan(**said):
    """Whether switchover.yml, told this, ends as one with nothing to do. The primary is node-a."""
    play = yaml.safe_load((ROOT / "playbooks" / "switchover.yml").read_text(encoding="utf-8"))[-1]
    ends = list(itertools.takewhile(lambda task: task["name"] != "Make the plan", play["tasks"]))[-1]
    assert ends["ansible.builtin.meta"] == "end_play"
    env = NativeEnvironment()
    env.filters["bool"] = lambda value: str(value).lower() in ("true", "yes", "1")
    scope = {"inventory_hostname": "node-a", **said}
    scope.update({name: env.from_string(text).render(scope) for name, text in play.get("vars", {}).items()})
    return bool(env.from_string("{{ " + ends["when"] + " }}").render(scope))


def test_a_switchover_to_the_primary_goes_on_where_the_addresses_are_asked_for():
    assert ends_before_its_plan(to="node-a")
    assert ends_before_its_plan(to="node-a", move_vips="false")
    assert not ends_before_its_plan(to="node-a", move_vips="true")
    assert not ends_before_its_plan(to="node-b")
    home = {"switchover_defaults": {"to": "node-a", "move_vips": True}}  # of rolling_update.yml
    assert not ends_before_its_plan(**home)
    assert ends_before_its_plan(**home, move_vips="no")


def test_what_nobody_looks_at_is_told_of():
    assert strangers(["switchover"], ["to", "colour", "tandem_group", "awx_job_id"]) == ["colour"]


@pytest.mark.parametrize("name", RUNBOOKS)
def test_the_list_is_what_the_playbook_says_of_itself(name):
    head = "".join(line for line in (ROOT / "playbooks" / f"{name}.yml").read_text(encoding="utf-8").splitlines(True)[:8] if line.startswith("#"))
    said = set(re.findall(r"-e (\w+)=", head))
    assert said <= {*RUNBOOKS[name], "confirm"}


def parts(name):
    """The playbook and what it imports, each in its place, as one text."""
    text = (ROOT / "playbooks" / f"{name}.yml").read_text(encoding="utf-8")
    return re.sub(r"ansible\.builtin\.import_playbook: (\w+)\.yml", lambda found: f"PART {found[1]}\n" + parts(found[1]), text)


@pytest.mark.parametrize("name", RUNBOOKS)
def test_every_runbook_looks_at_its_inventory_and_its_options_first(name):
    looks = re.findall(r"PART pair_is_named|tandem\.lemp\.\w+:", parts(name))
    assert looks[:2] == ["PART pair_is_named", "tandem.lemp.options:"]
