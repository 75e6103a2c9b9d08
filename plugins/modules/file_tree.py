#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: file_tree
short_description: Keep a directory of text files exactly as given
version_added: 0.1.0
description:
  - Writes a set of small text files below one directory in a single call, and removes files that are not in the set.
  - Made for program libraries, where a left-over module is a fault and one task per file is slow.
  - Files that Python compiled (C(__pycache__)) are left alone.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description:
      - The directory. It is created, with its parents, when it is missing.
      - Nothing else may keep files in it.
    type: path
    required: true
  files:
    description: Content by file name. Names have no directory part.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Install the library
  tandem.lemp.file_tree:
    path: /usr/local/lib/tandem/tandem_engine/health
    files:
      __init__.py: ""
      model.py: "{{ lookup('ansible.builtin.file', 'model.py', rstrip=false) }}"
"""

RETURN = r"""
written:
  description: Names of files that were created or changed.
  returned: success
  type: list
  elements: str
  sample: [model.py]
removed:
  description: Names of files that were removed.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os
import stat
import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule

KEPT = "__pycache__"


def observe(path: str) -> dict[str, str | None]:
    """Content by name; None for what must be written again or removed: not a plain readable 0644 file of root."""
    found: dict[str, str | None] = {}
    try:
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return found
    for entry in entries:
        if entry.name == KEPT:
            continue
        status = entry.stat(follow_symlinks=False)
        plain = stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o644 and status.st_uid == os.geteuid()
        if not plain:
            found[entry.name] = None
            continue
        with open(entry.path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            found[entry.name] = handle.read()
    return found


def write(path: str, name: str, content: str) -> None:
    """Replace a file in one step."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".new", dir=path)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as handle:
            handle.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, os.path.join(path, name))
    except BaseException:
        os.unlink(temporary)
        raise


def refusal(path: str, wanted: dict[str, t.Any], found: dict[str, str | None]) -> str | None:
    """Why this must not be done, if it must not."""
    for name, content in wanted.items():
        if not name or "/" in name or name in (".", "..", KEPT):
            return f"{name!r} is not a plain file name"
        if not isinstance(content, str):
            return f"the content of {name!r} is not text"
    directories = [
        name
        for name in found
        if os.path.isdir(os.path.join(path, name)) and not os.path.islink(os.path.join(path, name))
    ]
    if directories:
        return (
            f"{path} has directories of its own ({', '.join(sorted(directories))}); it would not be this module's alone"
        )
    return None


def main() -> None:
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}, "files": {"type": "dict", "required": True}},
        supports_check_mode=True,
    )
    path, wanted = module.params["path"], module.params["files"]
    found = observe(path)
    why_not = refusal(path, wanted, found)
    if why_not is not None:
        module.fail_json(msg=f"Refusing: {why_not}.")
    written = sorted(name for name in wanted if found.get(name) != wanted[name])
    removed = sorted(name for name in found if name not in wanted)
    created = not os.path.isdir(path)
    if not module.check_mode:
        os.makedirs(path, mode=0o755, exist_ok=True)
        for name in written:
            write(path, name, wanted[name])
        for name in removed:
            os.unlink(os.path.join(path, name))
    diff = [
        {
            "before_header": os.path.join(path, name),
            "after_header": os.path.join(path, name),
            "before": found.get(name) or "",
            "after": wanted.get(name, ""),
        }
        for name in written + removed
    ]
    result: dict[str, t.Any] = {"changed": created or bool(written or removed), "written": written, "removed": removed}
    if module._diff:
        result["diff"] = diff
    module.exit_json(**result)


if __name__ == "__main__":
    main()
