# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.tandem.lemp.plugins.filter.file_sync_jobs import file_sync_jobs

BLOG = {"name": "blog", "user": "site-blog", "sync": ["/var/lib/wordpress/wp-content/uploads/"]}


def test_one_job_per_directory_run_by_the_sites_user():
    assert file_sync_jobs([BLOG, {"name": "static", "user": "site-static"}], "unison") == [
        {
            "name": "blog-uploads",
            "method": "unison",
            "user": "site-blog",
            "root": "/var/lib/wordpress/wp-content/uploads",
            "excludes": [],
        }
    ]


def test_directories_of_the_same_name_get_longer_names():
    site = {**BLOG, "sync": ["/srv/a/files", "/srv/b/files", "/srv/c/Other Files"], "sync_excludes": ["*.tmp"]}
    jobs = file_sync_jobs([site], "rsync")
    assert [job["name"] for job in jobs] == ["blog-srv-a-files", "blog-srv-b-files", "blog-other-files"]
    assert jobs[0]["excludes"] == ["*.tmp"]


def test_no_name_is_too_long_or_given_twice():
    long = "d" * 60
    roots = [f"/srv/{long}/one/files", f"/srv/{long}/two/files", "/srv/a-b/files", "/srv/a/b/files", f"/srv/{'x' * 80}"]
    names = [job["name"] for job in file_sync_jobs([{**BLOG, "sync": roots}], "rsync")]
    assert len(set(names)) == len(roots)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name) for name in names), names
    assert names == [job["name"] for job in file_sync_jobs([{**BLOG, "sync": roots}], "rsync")]


@pytest.mark.parametrize("excludes", ["*.tmp", ["*.tmp", 2024], [""], {"*.tmp": True}], ids=str)
def test_a_text_is_no_list_of_its_letters(excludes):
    """'*' alone would keep everything from being synchronised."""
    with pytest.raises(AnsibleFilterError, match="sync_excludes of site blog is not a list of texts"):
        file_sync_jobs([{**BLOG, "sync_excludes": excludes}], "rsync")


@pytest.mark.parametrize("method", ["none", "drbd_ocfs2"])
def test_no_jobs_when_something_else_keeps_the_files(method):
    assert file_sync_jobs([BLOG], method) == []
