# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that make a replica, as data; doc_fragments/database.py describes them."""

from __future__ import annotations

import typing as t

from .. import bounds
from ..login import endpoint_here, endpoint_there
from ..runner import Runner, Service
from ..seed.mariadb import Donor
from .attaching import Local, Source

REPLICA_OPTIONS: dict[str, t.Any] = {
    "name": {"type": "str", "default": "this server"},
    "source_host": {"type": "str"},
    "source_port": {"type": "int", "default": 3306},
    "source_name": {"type": "str"},
    "replication_user": {"type": "str", "default": "tandem_repl"},
    "replication_password": {"type": "str", "no_log": True},
    "connect_retry": {"type": "int", "default": 1},
    "seed_timeout": {"type": "int", "default": 7200},
    "service": {"type": "str"},
    "donor_user": {"type": "str", "default": "tandem"},
    "donor_key": {"type": "path", "default": "/etc/tandem/ssh/donor", "no_log": False},
    "donor_known_hosts": {"type": "path", "default": "/etc/tandem/ssh/known_hosts"},
    "donor_port": {"type": "int", "default": 22},
}


def local_of(params: t.Mapping[str, t.Any], say: t.Callable[[str], None]) -> Local:
    """The server of this machine. say: where progress goes. Raises Refused."""
    bounds.require(params, seed_timeout=(1, bounds.LONG))
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
        donor=Donor(params["source_host"] or "", params["donor_user"], params["donor_key"], params["donor_known_hosts"], params["donor_port"]),
        seed_timeout=params["seed_timeout"],
        say=say,
    )


def source_of(params: t.Mapping[str, t.Any]) -> Source:
    """Whom to follow."""
    return Source(
        name=params["source_name"] or params["source_host"],
        endpoint=endpoint_there(params, params["source_host"], params["source_port"]),
        user=params["replication_user"],
        password=params["replication_password"],
        ca=params["ca_cert"],
        connect_retry=params["connect_retry"],
    )
