# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a pair fit to replicate, and to swap its roles? One file for each subject; ``judge`` runs them all. Pure."""
