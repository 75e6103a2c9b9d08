# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps directories of two nodes equal, and would rather do nothing than delete by mistake."""
