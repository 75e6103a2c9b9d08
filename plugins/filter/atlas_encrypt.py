# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A password in the form in which Atlas keeps it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: atlas_encrypt
author: The tandem.lemp developers (@tandem-lemp)
version_added: 0.1.0
short_description: Encrypt a password as Atlas' own tool does
description:
  - Gives what C(bin/encrypt) of Atlas prints, for C(pwds) of its configuration, without an Atlas at hand.
  - This is DES with a key that is published. Everybody who reads the result has the password. Treat both alike.
  - Refuses passwords of more than 47 bytes in UTF-8. Their encrypted form has two lines, with which Atlas does not start.
options:
  _input:
    description: The password.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Write the account of the application
  ansible.builtin.lineinfile:
    path: /usr/local/mysql-proxy/conf/main.cnf
    regexp: '^pwds\s*='
    line: "pwds = app:{{ app_password | tandem.lemp.atlas_encrypt }}"
  no_log: true

- name: The example of the manual is qtyU1btXOo074Itvx0UR9Q==
  ansible.builtin.debug:
    msg: "{{ 'Xp29at5F37' | tandem.lemp.atlas_encrypt }}"
"""

RETURN = r"""
_value:
  description: The encrypted password, one line.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.tandem.lemp.plugins.module_utils.atlas.password import BadPassword, encrypt


def atlas_encrypt(password: t.Any) -> str:
    """The encrypted form of a text. Anything else is an error: 012 without quotes is not the password that was meant."""
    if not isinstance(password, str):
        raise AnsibleFilterError(f"atlas_encrypt wants a text and got a {type(password).__name__}. Put the password in quotes.")
    try:
        return encrypt(password)
    except BadPassword as error:
        raise AnsibleFilterError(f"atlas_encrypt: {error}") from error


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"atlas_encrypt": atlas_encrypt}
