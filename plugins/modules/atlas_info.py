#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: atlas_info
short_description: Ask an Atlas for its backends, clients, accounts and version
version_added: 0.1.0
description:
  - Asks the admin port of Atlas, the proxy of Qihoo 360.
  - A backend that is V(up) is one that was reachable when somebody needed it last. Atlas does not look again until somebody
    needs a new connection, so a dead server that nobody uses stays V(up).
  - Encrypted passwords are not returned. Everybody can turn them back.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.attributes.reads
  - tandem.lemp.atlas
seealso:
  - module: tandem.lemp.atlas_backend
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: Ask the Atlas of this node
  tandem.lemp.atlas_info:
    login_user: admin
    login_password: "{{ atlas_admin_password }}"
  register: atlas

- name: Wait until a backend takes queries
  tandem.lemp.atlas_info:
    login_user: admin
    login_password: "{{ atlas_admin_password }}"
  register: atlas
  until: atlas.backends | selectattr('type', 'eq', 'rw') | selectattr('state', 'eq', 'up') | length > 0
  retries: 10
  delay: 1
"""

RETURN = r"""
backends:
  description: The servers behind Atlas, in its order. Of several of type V(rw), the first that is V(up) gets all writes.
  returned: success
  type: list
  elements: dict
  contains:
    index:
      description: Its place at this moment, from 1. It changes when others are added or removed.
      type: int
    address:
      description: Address and port.
      type: str
    state:
      description: V(up), V(down), V(offline) (set so by somebody) or V(unknown) (not probed yet, takes nothing).
      type: str
    type:
      description: V(rw) or V(ro).
      type: str
  sample:
    - {index: 1, address: "192.0.2.150:3306", state: up, type: rw}
    - {index: 2, address: "192.0.2.12:3306", state: up, type: ro}
clients:
  description: Addresses, or their beginnings, that may use the proxy. Empty when everybody may.
  returned: success
  type: list
  elements: str
pwds:
  description: Names of the accounts of the proxy. The first one is that of its health checks.
  returned: success
  type: list
  elements: str
version:
  description: What Atlas says of itself.
  returned: success
  type: str
  sample: 2.2.2
cause:
  description:
    - Why it could not be asked. V(refused) (nobody listens), V(login) (wrong user or password), V(not_admin) (something else
      listens there, or it is silent), V(command) (it refused), V(interrupted) (the connection broke) or V(failed) (anything else).
  returned: failure
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.tandem.lemp.plugins.module_utils.atlas.admin import Admin
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.errors import cause_of
from ansible_collections.tandem.lemp.plugins.module_utils.atlas.login import ADMIN_OPTIONS, endpoint_of
from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError


def look(admin: Admin) -> dict[str, t.Any]:
    """All that it can be asked."""
    return {
        "backends": [backend.as_dict() for backend in admin.backends()],
        "clients": admin.clients(),
        "pwds": admin.users(),
        "version": admin.version(),
    }


def main() -> None:
    module = AnsibleModule(argument_spec=dict(ADMIN_OPTIONS), supports_check_mode=True)
    try:
        with Admin(endpoint_of(module.params)) as admin:
            seen = look(admin)
    except TandemError as error:
        module.fail_json(msg=str(error), cause=cause_of(error))
    module.exit_json(changed=False, **seen)


if __name__ == "__main__":
    main()
