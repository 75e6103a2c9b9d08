#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: replica
short_description: Make the database server of this machine a replica of the other one
version_added: 0.1.0
description:
  - Attaches a MariaDB or MySQL server to its source by GTID over TLS, closed for writes, with the replica side of
    semi-synchronous replication on.
  - Compares the data first. A server whose transactions are a subset of the source's is attached as it is. A new one,
    or one that needs binary logs that the source has purged, is copied from the source, by C(mariadb-backup) over ssh
    or by MySQL's C(CLONE) plugin.
  - Refuses when the local server has transactions or schemas that the source lacks, is older than the source, or is itself
    the primary.
  - On MariaDB the present data are kept until the copy works. MySQL's C(CLONE) replaces them in place.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.database
  - tandem.lemp.database.operator
  - tandem.lemp.database.replica
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(attached) follows O(source_host), which it needs together with O(replication_password).
      - V(detached) follows nobody and stays closed for writes.
    type: str
    choices: [attached, detached]
    default: attached
  seed:
    description:
      - V(auto) copies the source when nothing can be lost by it. V(never) refuses instead.
      - V(always) also copies over data that the source does not have. They are lost.
        A healthy replica of the source is left alone even so.
    type: str
    choices: [auto, never, always]
    default: auto
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Follow the primary
  tandem.lemp.replica:
    source_host: 192.0.2.11
    source_name: node-a
    replication_password: "{{ tandem_secret_replication }}"
    operator_password: "{{ tandem_secret_operator }}"

- name: Replace diverged data by a copy of the primary
  tandem.lemp.replica:
    source_host: 192.0.2.11
    replication_password: "{{ tandem_secret_replication }}"
    operator_password: "{{ tandem_secret_operator }}"
    seed: always
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: str
reason:
  description: Why that was needed, or why nothing was.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError, of_the_system
from ansible_collections.tandem.lemp.plugins.module_utils.hand.lock import held
from ansible_collections.tandem.lemp.plugins.module_utils.login import LOGIN_OPTIONS, OPERATOR_OPTIONS
from ansible_collections.tandem.lemp.plugins.module_utils.operations.asked import REPLICA_OPTIONS, local_of, source_of
from ansible_collections.tandem.lemp.plugins.module_utils.operations.attaching import attach, detach
from ansible_collections.tandem.lemp.plugins.module_utils.operations.opening import Outcome
from ansible_collections.tandem.lemp.plugins.module_utils.server import has_data, look


def run(module: AnsibleModule) -> Outcome:
    params = module.params
    local = local_of(params, module.log)
    if params["state"] == "detached":
        return detach(local, dry_run=module.check_mode)
    source = source_of(params)
    if module.check_mode and not look(source.endpoint).running and not has_data(params["datadir"]):
        # A clean pair: the primary will be there by the time this runs for real.
        return Outcome({}, {}, [f"copy all data from {source.name}", f"replicate from {source.name}"], "Both will be installed.")
    return attach(local, source, params["seed"], dry_run=module.check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            **OPERATOR_OPTIONS,
            "state": {"type": "str", "choices": ["attached", "detached"], "default": "attached"},
            **REPLICA_OPTIONS,
            "seed": {"type": "str", "choices": ["auto", "never", "always"], "default": "auto"},
        },
        required_if=[("state", "attached", ["source_host", "replication_password"])],
        supports_check_mode=True,
    )
    try:
        with held(module.params["name"], not module.check_mode):
            outcome = run(module)
    except TandemError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{module.params['name']}: {of_the_system(error)}")
    for warning in outcome.warnings:
        module.warn(warning)
    module.exit_json(
        changed=outcome.changed,
        actions=outcome.actions,
        reason=outcome.reason,
        diff={"before": outcome.before, "after": outcome.after if outcome.changed else outcome.before},
    )


if __name__ == "__main__":
    main()
