#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: accounts_verified
short_description: Tell whether the accounts of the database are as they were when they were last verified
version_added: 0.1.0
description:
  - Reads definitions, grants and password hashes of accounts, anonymous accounts, and the character sets of schemas, in
    one execution, and compares a digest of them and of what is wanted with the one that was remembered.
  - When they are equal, nothing changed on either side since every account was verified one by one, which takes seconds.
  - Any drift on the server and any other wish makes RV(verified) false. It is false, too, on a server that was not
    verified since its machine started, since the digest is kept in a directory that does not outlive that.
extends_documentation_fragment:
  - tandem.lemp.attributes
  - tandem.lemp.database
attributes:
  check_mode:
    support: full
    details: Nothing is remembered.
  diff_mode:
    support: none
    details: It changes nothing of the server.
  idempotent:
    support: full
options:
  accounts:
    description: The accounts to look at.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      host:
        description: Where it comes from.
        type: str
        required: true
  schemas:
    description: The schemas to look at. That of the name V(test) is always looked at.
    type: list
    elements: str
    default: []
  wanted:
    description: Text that says all that is wanted of them, passwords included. Only its digest is kept.
    type: str
    required: true
  remember:
    description: Remember what is there now as verified. To be said once every account was.
    type: bool
    default: false
  memory:
    description: File that holds the digest, readable by its owner only.
    type: path
    default: /run/tandem/accounts
author:
  - The tandem.lemp developers (@tandem-lemp)
"""

EXAMPLES = r"""
- name: See whether the accounts are as they were verified
  tandem.lemp.accounts_verified:
    accounts:
      - name: blog
        host: localhost
    schemas: [blog]
    wanted: "{{ example_accounts | to_json }}"
  register: accounts
"""

RETURN = r"""
running:
  description: Whether the server answers.
  returned: always
  type: bool
verified:
  description: Whether nothing changed since it was remembered.
  returned: always
  type: bool
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connection import Connection
from ..module_utils.errors import TandemError, Unreachable
from ..module_utils.login import LOGIN_OPTIONS, endpoint_here
from ..module_utils.placing import Entry, act, plan
from ..module_utils.runner import Runner
from ..module_utils.verified import complete, digest, observe


def remembered(path: str) -> str:
    """What was remembered; nothing when there is no memory."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return ""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **LOGIN_OPTIONS,
            "accounts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"name": {"type": "str", "required": True}, "host": {"type": "str", "required": True}},
            },
            "schemas": {"type": "list", "elements": "str", "default": []},
            "wanted": {"type": "str", "required": True, "no_log": True},
            "remember": {"type": "bool", "default": False},
            "memory": {"type": "path", "default": "/run/tandem/accounts"},
        },
        supports_check_mode=True,
    )
    memory = module.params["memory"]
    accounts = [(account["name"], account["host"]) for account in module.params["accounts"]]
    try:
        server = Connection(endpoint_here(module.params))
        try:
            seen = observe(server, accounts, module.params["schemas"])
        finally:
            server.close()
        now = digest(module.params["wanted"], seen) if complete(seen) else ""
        if module.params["remember"] and now and not module.check_mode:
            act(plan([Entry(memory, content=f"{now}\n", mode=0o600, sensitive=True)]), Runner())
    except Unreachable as error:
        module.exit_json(changed=False, running=False, verified=False, reason=str(error))
    except TandemError as error:
        module.fail_json(msg=str(error))
    # A memory is no part of what the pair is: to write it is no change.
    module.exit_json(changed=False, running=True, verified=bool(now) and remembered(memory) == now)


if __name__ == "__main__":
    main()
