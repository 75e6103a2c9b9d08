# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that move the role of the primary while everybody works."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  drain:
    description: Seconds that connections in flight may take to end by themselves, before they are ended.
    type: float
    default: 2
  max_pause:
    description: Seconds from the moment when new connections are held until the other server may open. Then everything is taken back. At most 8.
    type: float
    default: 5
  deadline:
    description:
      - Seconds from the beginning until the other server may open, all waits included. Then everything is taken back.
      - By default only the single waits are bounded.
    type: float
  atlas_offline:
    description:
      - With Atlas, take the writers of both nodes' Atlas offline (C(SET OFFLINE)) before connections are held, and online again when the other
        server is open. Both are proven.
      - Not needed, since HAProxy behind Atlas holds who would write. Whoever comes to Atlas for a write meanwhile is refused, for up to 5 s.
    type: bool
    default: false
  max_transaction_seconds:
    description: Age of an open transaction that stops a switchover.
    type: float
    default: 5
  require_semi_sync:
    description: Refuse when commits do not wait for the replica at the moment.
    type: bool
    default: false
notes:
  - Needs what role C(operations) installs on both nodes.
  - If this process, the controller or a node dies half-way, each node finishes alone (see role C(operations)).
"""
