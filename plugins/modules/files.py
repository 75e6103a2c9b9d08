#!/usr/bin/python
# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Put many small text files in place in one go
version_added: 0.1.0
description:
  - Writes, mends and removes a list of text files and directories, in a single execution on the node.
  - M(ansible.builtin.template) and M(ansible.builtin.copy) need two executions for every file, and
    M(ansible.builtin.file) one for every directory. The roles of this collection keep some forty of them,
    so that a run that changes nothing would mostly wait for connections.
  - Everything new is written beside its place and validated first. Only when all of it is good is it swapped in, each
    file in one step. So either all files are new, or none is.
  - Directories are made before, since new files are written in them.
  - A link on the way to a path is followed only where it and all directories above it are root's (or of the user who runs this) and
    nobody else may write to them. Any other is refused, so that the owner of a directory cannot lead root elsewhere.
  - Contents are not written to the log of the node.
author:
  - The tandem.lemp developers (@tandem-lemp)
extends_documentation_fragment:
  - tandem.lemp.attributes
attributes:
  check_mode:
    support: full
    details: Nothing is validated. Parents, users and groups may be missing, since a clean host has none of them yet.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  files:
    description: What shall be there.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path. Parents that are missing are made, with mode C(0755).
        type: path
        required: true
      state:
        description:
          - V(file) has O(files[].content). V(directory) is made with its parents, and may be a link of root's to a directory.
          - V(absent) is no file. A directory is never removed.
        type: str
        choices: [file, directory, absent]
        default: file
      content:
        description: The whole text. Needed for V(files[].state=file).
        type: str
      owner:
        description: Name or number of the user. Left as it is when not given.
        type: str
      group:
        description: Name or number of the group. Left as it is when not given.
        type: str
      mode:
        description:
          - Four octal digits, such as V(0644), as a string. Left as it is when not given.
          - New files have C(0644), new directories C(0755), unless this says otherwise.
        type: str
      validate:
        description:
          - Command that says whether the new file is good, by its status. C(%s) stands for the path of the new file.
          - Split into words; no shell is involved.
        type: str
        default: ""
      sensitive:
        description: Do not show the content in the diff and in what the module returns.
        type: bool
        default: false
      prune:
        description:
          - For V(files[].state=directory). Files in it that match one of these patterns and are no entry of O(files) are removed.
          - V(*) makes the directory exactly as given, which suits program libraries, where a left-over module is a fault.
          - A directory that matches is refused, but for Python's C(__pycache__), which is left alone.
        type: list
        elements: str
        default: []
      keep_behind_link:
        description:
          - For V(files[].state=directory). One that is there, behind a link that others than root may have put there, is left as it is
            instead of refused.
        type: bool
        default: false
      keep_mode:
        description:
          - For V(files[].state=directory). The mode is that of a new one; one that is there keeps its own.
        type: bool
        default: false
      keep_former:
        description:
          - Keep what was there, with its owner and mode, as O(files[].path) with C(.before-tandem) behind it, before the first new content
            takes its place. Once; and not what says that it is C(Ansible managed).
        type: bool
        default: false
  validate:
    description:
      - Command that says whether all changes together are good, for files that only make sense together.
      - C(%s) stands for a directory in which C(new/) holds the new files under their full paths, and the
        file C(removed) the paths of those that would go, one on each line.
      - Runs only when a content changes or a file goes.
    type: str
    default: ""
  pending:
    description:
      - A name under which the changed paths are remembered on the node, in C(/run/tandem/pending), before they are changed.
      - Until somebody removes that file, every run says that they were changed. So a service is told of a change even if the
        run that made it was broken off before its handlers. The last handler removes the file.
      - Gone with a reboot, after which everything has read its configuration anew.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Configure the proxy
  tandem.lemp.files:
    files:
      - path: /etc/systemd/system/haproxy.service.d
        state: directory
        mode: "0755"
      - path: /etc/haproxy/haproxy.cfg
        content: "{{ lookup('ansible.builtin.template', 'etc/haproxy/haproxy.cfg.j2') }}"
        owner: root
        group: root
        mode: "0644"
        validate: /usr/sbin/haproxy -c -q -f %s
  notify: Reload HAProxy

- name: Install the library, and nothing else beside it
  tandem.lemp.files:
    files:
      - path: /usr/local/lib/example
        state: directory
        prune: ["*"]
      - path: /usr/local/lib/example/model.py
        content: "{{ lookup('ansible.builtin.file', 'model.py', rstrip=false) }}"
        mode: "0644"

- name: Keep a secret where only root reads it
  tandem.lemp.files:
    files:
      - path: /etc/example/password
        content: "{{ example_password }}\n"
        mode: "0600"
        sensitive: true
  no_log: true
"""

RETURN = r"""
changed_paths:
  description: Paths that were made, changed or removed, now or in a run with the same O(pending) that did not end; in check mode those that would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/haproxy/haproxy.cfg]
"""

import json
import re
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.errors import TandemError
from ..module_utils.placing import Entry, act, difference, plan
from ..module_utils.runner import Runner

PENDING = Path("/run/tandem/pending")
ENTRY: dict[str, t.Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["file", "directory", "absent"], "default": "file"},
    "content": {"type": "str"},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "str"},
    "validate": {"type": "str", "default": ""},
    "sensitive": {"type": "bool", "default": False},
    "prune": {"type": "list", "elements": "str", "default": []},
    "keep_behind_link": {"type": "bool", "default": False},
    "keep_mode": {"type": "bool", "default": False},
    "keep_former": {"type": "bool", "default": False},
}


class QuietModule(AnsibleModule):
    """A module whose arguments are whole files: the node's log gets none of them."""

    def _log_invocation(self) -> None:
        self.log(f"Invoked for {len(self.params['files'])} files")


def entry_of(params: dict[str, t.Any]) -> Entry:
    """An entry as the engine knows it. Raises TandemError for a mode that means something else than it seems to."""
    mode = params["mode"]
    if mode is not None and not re.fullmatch(r"[0-7]{4}", mode):
        raise TandemError(f"{params['path']}: mode {mode!r} is not four octal digits in quotes, such as '0644'.")
    return Entry(
        path=params["path"],
        state=params["state"],
        content=params["content"] or "",
        owner=params["owner"],
        group=params["group"],
        mode=None if mode is None else int(mode, 8),
        validate=params["validate"],
        sensitive=params["sensitive"],
        prune=tuple(params["prune"]),
        keep_behind_link=params["keep_behind_link"],
        keep_mode=params["keep_mode"],
        keep_former=params["keep_former"],
    )


def remembered(name: str) -> list[str]:
    """Paths that were changed and that nobody has been told of. Raises TandemError for a bad name."""
    if name and not re.fullmatch(r"[a-z0-9_-]+", name):
        raise TandemError(f"pending: {name!r} is not a name of small letters, digits, - and _.")
    try:
        found = json.loads((PENDING / name).read_text(encoding="utf-8")) if name else []
    except (OSError, ValueError):
        return []
    return [str(path) for path in found] if isinstance(found, list) else []


def remember(name: str, paths: list[str]) -> None:
    """Before they are changed. Raises TandemError where that cannot be written."""
    if not name:
        return
    try:
        PENDING.mkdir(mode=0o755, parents=True, exist_ok=True)
        (PENDING / name).write_text(json.dumps(paths), encoding="utf-8")
    except OSError as error:
        raise TandemError(f"{PENDING / name} cannot be written: {error.strerror}.") from error


def main() -> None:
    module = QuietModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": ENTRY,
                "required_if": [("state", "file", ("content",))],
            },
            "validate": {"type": "str", "default": ""},
            "pending": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    # Even -vvv shows no contents.
    invocation = {"module_args": {"files": [entry["path"] for entry in module.params["files"]]}}
    pending = module.params["pending"]
    try:
        before = remembered(pending)
        changes = plan([entry_of(params) for params in module.params["files"]], module.check_mode)
        changed = list(dict.fromkeys([*(change.path for change in changes), *before]))
        if not module.check_mode:
            if changes:
                remember(pending, changed)
            act(changes, Runner(), module.params["validate"])
    except TandemError as error:
        module.fail_json(msg=str(error), invocation=invocation)
    result: dict[str, t.Any] = {"changed": bool(changed), "changed_paths": changed}
    if module._diff:
        result["diff"] = [part for change in changes for part in difference(change)]
    module.exit_json(invocation=invocation, **result)


if __name__ == "__main__":
    main()
