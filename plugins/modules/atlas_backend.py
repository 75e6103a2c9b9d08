#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: atlas_backend
short_description: Take a backend of an Atlas offline or online, add or remove it
version_added: 0.1.0
description:
  - Tells the admin port of Atlas, the proxy of Qihoo 360. A backend is named by its address. Its number, which changes when
    others are added or removed, is looked up right before each use.
  - Atlas says "done" to everything. So what came of it is looked at, and it is an error when it is not what was told.
  - V(offline) is no fence. Sessions with an open transaction, without autocommit, or right after an insert, stay where they
    are and go on reading and writing. Fence the database as well, with M(tandem.lemp.write_fence).
  - V(online) makes a backend take nothing for up to 4 seconds, until it is probed. One that is not offline is therefore left
    alone and only waited for.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.atlas
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  address:
    description: Address and port of the backend, as Atlas lists it. To be added, it must be an IPv4 address and a port.
    type: str
    required: true
  type:
    description:
      - V(rw) takes writes, V(ro) reads. An address may be there as both.
      - Needed for O(state=present). Otherwise, without it, all entries of the address are meant.
    type: str
    choices: [rw, ro]
  state:
    description:
      - V(online) is in use. It is waited for until it is C(up).
      - V(offline) takes no new connections.
      - V(present) is listed, in whatever state. It is added where it is missing, and probed by Atlas within 4 seconds.
      - V(absent) is not listed.
      - None but V(present) and V(absent) survive a restart of Atlas, and these only with O(save).
    type: str
    choices: [online, offline, present, absent]
    default: online
  timeout:
    description: Seconds that O(state=online) waits until the backend is C(up).
    type: float
    default: 10
  settle:
    description:
      - Seconds that O(state=offline) is watched. A health check that is under way may undo it within 5 seconds. Then it is
        said again.
      - Without it, 5 where the backend was not C(up) before, and 0 otherwise, since one that was C(up) is not checked.
    type: float
  save:
    description:
      - Make Atlas write its backends, clients and accounts, as they are, to its configuration file. Only with V(present) and
        V(absent) of O(state), since nothing else is kept.
      - Atlas damages the file by that, and does not say whether it could. So O(config_file) is needed. Better write the file
        yourself and leave this off.
      - The Atlas of role C(atlas) cannot save, since it may not write its file. Change C(atlas_writers) and C(atlas_readers) there.
    type: bool
    default: false
  config_file:
    description:
      - With O(save), the configuration file of this Atlas on this node, to be mended after Atlas wrote it.
      - It is written again as it was before, with its mode, owner, comments and weights, and only those values changed that
        mean something else now. For a moment, until its mode is set, everybody may write what an Atlas in daemon mode wrote.
      - Atlas saves as well when the file differs from the backends, although nothing was changed. And it is an error when
        Atlas has not saved, which it does not say.
    type: path
seealso:
  - module: tandem.lemp.atlas_info
  - module: tandem.lemp.write_fence
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Send no new connections to the writer
  tandem.lemp.atlas_backend:
    login_user: admin
    login_password: "{{ atlas_admin_password }}"
    address: 192.0.2.150:3306
    state: offline

- name: Use it again, and wait until it is up
  tandem.lemp.atlas_backend:
    login_user: admin
    login_password: "{{ atlas_admin_password }}"
    address: 192.0.2.150:3306
    state: online

# Not an Atlas of role atlas, which may not write its file.
- name: Read from one more server, also after a restart
  tandem.lemp.atlas_backend:
    login_user: admin
    login_password: "{{ atlas_admin_password }}"
    address: 192.0.2.12:3306
    type: ro
    state: present
    save: true
    config_file: /usr/local/mysql-proxy/conf/main.cnf
"""

RETURN = r"""
actions:
  description: What was done, or would be done.
  returned: success
  type: list
  elements: str
  sample: ["set 192.0.2.150:3306 (rw) offline"]
backends:
  description: All backends as they are now, as M(tandem.lemp.atlas_info) returns them.
  returned: success
  type: list
  elements: dict
cause:
  description:
    - Why it failed. V(refused) (nobody listens), V(login) (wrong user or password), V(not_admin) (something else listens
      there, or it is silent), V(unknown_backend), V(command) (Atlas refused, or did not do it), V(interrupted) (the connection
      broke, and whether it was done is not known) or V(failed) (anything else, as a backend that does not come up).
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils import bounds
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import Admin
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.errors import cause_of
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.login import ADMIN_OPTIONS, endpoint_of
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.wanted import Wish, bring
from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ADMIN_OPTIONS,
            "address": {"type": "str", "required": True},
            "type": {"type": "str", "choices": ["rw", "ro"]},
            "state": {"type": "str", "choices": ["online", "offline", "present", "absent"], "default": "online"},
            "timeout": {"type": "float", "default": 10},
            "settle": {"type": "float"},
            "save": {"type": "bool", "default": False},
            "config_file": {"type": "path"},
        },
        required_if=[("state", "present", ["type"]), ("save", True, ["config_file"])],
        supports_check_mode=True,
    )
    params = module.params
    wish = Wish(
        params["address"], params["state"], params["type"], params["timeout"], params["settle"], params["save"], params["config_file"] or ""
    )
    try:
        bounds.require(params, timeout=(0, bounds.LONG), settle=(0, bounds.LONG))
        with Admin(endpoint_of(params)) as admin:
            outcome = bring(admin, wish, dry_run=module.check_mode)
    except TandemError as error:
        module.fail_json(msg=str(error), cause=cause_of(error))
    module.exit_json(
        changed=bool(outcome.actions),
        actions=outcome.actions,
        backends=[backend.as_dict() for backend in outcome.backends],
        diff={"before": outcome.before, "after": outcome.after},
    )


if __name__ == "__main__":
    main()
