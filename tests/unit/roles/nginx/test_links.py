# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a deployment puts another link in place (current -> releases/2), the new code is run from then on."""

from __future__ import annotations

from collections.abc import Callable


def test_php_is_given_the_path_without_links(rendered: Callable[..., str]) -> None:
    """Compiled code is remembered by the path: by that of the link it would be the old one for good."""
    shared = rendered().split("location", 1)[0]
    assert "fastcgi_param SCRIPT_FILENAME $realpath_root$fastcgi_script_name;" in shared
    assert "fastcgi_param DOCUMENT_ROOT $realpath_root;" in shared
    assert shared.index("include fastcgi_params;") < shared.index("fastcgi_param DOCUMENT_ROOT")


def test_the_pool_answers_without_a_document_root(rendered: Callable[..., str]) -> None:
    """nginx cannot resolve what is not there, and would answer 500."""
    ping = rendered().split("location ~ ^/php-(ping|status)$ {")[1].split("}")[0]
    assert "include fastcgi_params;" in ping
    assert "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;" in ping
