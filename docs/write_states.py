# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/agent-states.md anew: python3 docs/write_states.py."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "plugins"))

from module_utils.agent.markdown import as_markdown  # noqa: E402 the path has to be set first

(ROOT / "docs" / "agent-states.md").write_text(as_markdown(), encoding="utf-8")
