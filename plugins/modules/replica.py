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
      - V(attached) follows O(source_host). V(detached) follows nobody and stays closed for writes.
    type: str
    choices: [attached, detached]
    default: attached
  name:
    description: What messages call this server.
    type: str
    default: this server
  source_host:
    description: Address of the source, as its certificate has it. Required for O(state=attached).
    type: str
  source_port:
    description: Its port.
    type: int
    default: 3306
  source_name:
    description: What messages call it. By default O(source_host).
    type: str
  replication_user:
    description: Account with which this server logs in at the source.
    type: str
    default: tandem_repl
  replication_password:
    description: Its password. Required for O(state=attached).
    type: str
  connect_retry:
    description: Seconds between two attempts to reach the source.
    type: int
    default: 1
  seed:
    description:
      - V(auto) copies the source when nothing can be lost by it. V(never) refuses instead.
      - V(always) also copies over data that the source does not have. They are lost.
        A healthy replica of the source is left alone even so.
    type: str
    choices: [auto, never, always]
    default: auto
  seed_timeout:
    description: How long each part of a copy may take, in seconds.
    type: int
    default: 7200
  service:
    description: Unit of the database server. By default C(mariadb) or C(mysql), whichever the source is.
    type: str
  donor_user:
    description: MariaDB only, account on the source whose key allows nothing but the copy.
    type: str
    default: tandem
  donor_key:
    description: MariaDB only, private key on this machine.
    type: path
    default: /etc/tandem/ssh/donor
  donor_known_hosts:
    description: MariaDB only, file on this machine with the host key of the source.
    type: path
    default: /etc/tandem/ssh/known_hosts
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

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.login import (
    LOGIN_OPTIONS,
    OPERATOR_OPTIONS,
    endpoint_here,
    endpoint_there,
)
from ansible_collections.tandem.lemp.plugins.module_utils.operations.attaching import Local, Source, attach, detach
from ansible_collections.tandem.lemp.plugins.module_utils.operations.opening import Outcome
from ansible_collections.tandem.lemp.plugins.module_utils.runner import Runner, Service
from ansible_collections.tandem.lemp.plugins.module_utils.seed.mariadb import Donor
from ansible_collections.tandem.lemp.plugins.module_utils.server import has_data, look


def local_of(module: AnsibleModule) -> Local:
    params = module.params
    runner = Runner()
    service = params["service"]
    if not service:
        service = "mysql" if runner.run(["systemctl", "cat", "mariadb"], check=False).status != 0 else "mariadb"
    return Local(
        name=params["name"],
        endpoint=endpoint_here(params),
        datadir=params["datadir"],
        service=Service(service, runner),
        runner=runner,
        donor=Donor(params["source_host"] or "", params["donor_user"], params["donor_key"], params["donor_known_hosts"]),
        seed_timeout=params["seed_timeout"],
        say=module.log,
    )


def source_of(params: dict[str, t.Any]) -> Source:
    return Source(
        name=params["source_name"] or params["source_host"],
        endpoint=endpoint_there(params, params["source_host"], params["source_port"]),
        user=params["replication_user"],
        password=params["replication_password"],
        ca=params["ca_cert"],
        connect_retry=params["connect_retry"],
    )


def run(module: AnsibleModule) -> Outcome:
    params = module.params
    local = local_of(module)
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
            "name": {"type": "str", "default": "this server"},
            "source_host": {"type": "str"},
            "source_port": {"type": "int", "default": 3306},
            "source_name": {"type": "str"},
            "replication_user": {"type": "str", "default": "tandem_repl"},
            "replication_password": {"type": "str", "no_log": True},
            "connect_retry": {"type": "int", "default": 1},
            "seed": {"type": "str", "choices": ["auto", "never", "always"], "default": "auto"},
            "seed_timeout": {"type": "int", "default": 7200},
            "service": {"type": "str"},
            "donor_user": {"type": "str", "default": "tandem"},
            "donor_key": {"type": "path", "default": "/etc/tandem/ssh/donor", "no_log": False},
            "donor_known_hosts": {"type": "path", "default": "/etc/tandem/ssh/known_hosts"},
        },
        required_if=[("state", "attached", ["source_host", "replication_password"])],
        supports_check_mode=True,
    )
    try:
        outcome = run(module)
    except TandemError as error:
        module.fail_json(msg=str(error))
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
