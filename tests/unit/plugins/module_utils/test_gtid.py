# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GTID sets against the plainest model there is: Python sets of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tandem.lemp.plugins.module_utils.errors import GtidError
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import MARIADB, MYSQL, GtidSet

A = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
B = "00000000-0000-0000-0000-000000000001"

KEYS = st.sampled_from([(A, ""), (A, "blue"), (A, "green"), (B, ""), (B, "blue")])
MODELS = st.dictionaries(KEYS, st.frozensets(st.integers(1, 25), min_size=1, max_size=12), max_size=4)
STATES = st.dictionaries(st.tuples(st.integers(0, 2), st.integers(1, 3)), st.integers(1, 25), max_size=5)


def written(model):
    """A model as a careless person writes it: any order, single numbers, upper case, line breaks."""
    items = []
    for (uuid, tag), numbers in model.items():
        for number in sorted(numbers, reverse=True):
            items.append(f"{uuid.upper()}:{tag}:{number}" if tag else f"{uuid}:{number}")
    return " ,\n ".join(items)


def mysql(model):
    return GtidSet.parse(written(model), MYSQL)


def mariadb(state):
    return GtidSet.parse(",".join(f"{domain}-{server}-{last}" for (domain, server), last in state.items()), MARIADB)


def members(model):
    return {(key, number) for key, numbers in model.items() for number in numbers}


@given(MODELS)
def test_text_survives_a_round_trip(model):
    one = mysql(model)
    assert GtidSet.parse(str(one), MYSQL) == one
    assert hash(GtidSet.parse(str(one), MYSQL)) == hash(one)


@given(MODELS)
def test_count_is_the_number_of_members(model):
    assert mysql(model).count() == len(members(model))
    assert bool(mysql(model)) == bool(model)


@given(MODELS, MODELS)
def test_operators_are_those_of_sets(one, other):
    a, b = mysql(one), mysql(other)
    assert (a <= b) == (members(one) <= members(other))
    assert (a < b) == (members(one) < members(other))
    assert (a == b) == (members(one) == members(other))
    assert (a - b).count() == len(members(one) - members(other))
    assert (a | b).count() == len(members(one) | members(other))
    assert a.behind(b) == len(members(other) - members(one))


@given(MODELS, MODELS)
def test_what_is_subtracted_is_gone_and_nothing_else(one, other):
    a, b = mysql(one), mysql(other)
    assert (a - b) | b == a | b
    assert not (a - b) - a
    assert ((a - b) - b) == a - b


@given(STATES, STATES)
def test_mariadb_states_compare_by_domain_and_server(one, other):
    a, b = mariadb(one), mariadb(other)
    assert (a <= b) == all(other.get(key, 0) >= last for key, last in one.items())
    assert (a == b) == (one == other)
    assert a | b == mariadb({key: max(one.get(key, 0), other.get(key, 0)) for key in {*one, *other}})
    assert (a - b).count() == sum(max(0, last - other.get(key, 0)) for key, last in one.items())
    assert GtidSet.parse(str(a - b), MARIADB) == a - b


def test_canonical_text_is_what_mysql_prints():
    text = f"{A.upper()}:9:1-3:5,\n{B}:1-1, {A}:4"
    assert str(GtidSet.parse(text, MYSQL)) == f"{B}:1,{A}:1-5:9"


def test_tags_are_parts_of_the_identity():
    one = GtidSet.parse(f"{A}:1-3:blue:1-2:4:Green:7", MYSQL)
    assert str(one) == f"{A}:1-3:blue:1-2:4:green:7"
    assert not GtidSet.parse(f"{A}:blue:3", MYSQL) <= one


def test_the_last_interval_is_reached_without_counting_to_it():
    huge = GtidSet.parse(f"{A}:1-9223372036854775806", MYSQL)
    assert huge.count() == 2**63 - 2
    assert (huge - GtidSet.parse(f"{A}:5", MYSQL)).count() == 2**63 - 3


def test_an_interval_that_ends_before_it_begins_is_empty_as_in_mysql():
    assert not GtidSet.parse(f"{A}:5-3", MYSQL)


def test_mariadb_position_is_the_newest_of_each_domain():
    one = GtidSet.parse("0-11-44,1-12-3,0-12-90", MARIADB)
    assert one.position() == "0-12-90,1-12-3"
    assert GtidSet.parse("0-11-80", MARIADB).behind(one) == 10 + 3


def test_mariadb_same_number_from_two_servers_is_not_the_same_transaction():
    one, other = GtidSet.parse("0-11-5", MARIADB), GtidSet.parse("0-12-5", MARIADB)
    assert one != other
    assert str(one - other) == "0-11-5"


def test_the_rest_of_a_range_says_where_it_begins():
    assert str(GtidSet.parse("0-11-100", MARIADB) - GtidSet.parse("0-11-90", MARIADB)) == "0-11-91..100"


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        A,
        f"{A}:",
        f"{A}:0",
        f"{A}:1-",
        f"{A}:1--3",
        f"{A}:1-9223372036854775807",
        f"{A}:blue",
        f"{A}:blue:green:1",
        f"{A}:1:2x",
        f"{A}x:1",
        f"{A[:-1]}:1",
        f"{A}:١",
        "0-1-5",
    ],
)
def test_bad_mysql_text_is_refused(text):
    with pytest.raises(GtidError):
        GtidSet.parse(text, MYSQL)


@pytest.mark.parametrize(
    "text",
    ["0-1", "0-1-", "-1-1", "0-1-1-1", "4294967296-1-1", "0-1-18446744073709551616", "0-1-5..3", "0-1-0..3", "a-b-c", f"{A}:1"],
)
def test_bad_mariadb_text_is_refused(text):
    with pytest.raises(GtidError):
        GtidSet.parse(text, MARIADB)


@given(st.text(max_size=80), st.sampled_from([MYSQL, MARIADB]))
def test_any_text_is_read_or_refused(text, flavor):
    try:
        one = GtidSet.parse(text, flavor)
    except GtidError:
        return
    assert GtidSet.parse(str(one), flavor) == one


def test_flavors_do_not_mix():
    with pytest.raises(GtidError):
        GtidSet.parse("0-1-1", MARIADB) <= GtidSet.parse(f"{A}:1", MYSQL)  # noqa: B015
    with pytest.raises(GtidError):
        GtidSet("oracle")
    with pytest.raises(GtidError):
        GtidSet.parse(None, MYSQL)


def test_an_errant_transaction_does_not_hide_a_missing_one() -> None:
    here = GtidSet.parse("0-11-100,0-12-101", MARIADB)
    assert not here.reached(GtidSet.parse("0-11-101", MARIADB))
    assert here.reached(GtidSet.parse("0-11-100", MARIADB))


def test_a_copy_need_not_list_servers_that_wrote_long_ago() -> None:
    assert GtidSet.parse("0-11-100", MARIADB).reached(GtidSet.parse("0-7-20,0-11-100", MARIADB))
    assert not GtidSet.parse("0-11-99", MARIADB).reached(GtidSet.parse("0-7-20,0-11-100", MARIADB))


def test_mysql_has_reached_only_what_it_has() -> None:
    uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    here = GtidSet.parse(f"{uuid}:1-5:7", MYSQL)
    assert here.reached(GtidSet.parse(f"{uuid}:1-5", MYSQL))
    assert not here.reached(GtidSet.parse(f"{uuid}:1-6", MYSQL))


def test_what_a_replica_wrote_itself_comes_after_all_that_it_received() -> None:
    here = GtidSet.parse("0-12-99,0-11-101", MARIADB)
    errant = here - GtidSet.parse("0-11-98,0-12-99", MARIADB)
    assert str(errant) == "0-11-99..101"
    assert str(errant.own(11, here)) == "0-11-100..101"
    assert not (here - here).own(11, here)


def test_what_a_source_has_sent_and_not_counted_yet() -> None:
    one, other = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"
    source = GtidSet.parse(f"{one}:1-100", MYSQL)
    more = GtidSet.parse(f"{one}:1-117:app:1,{other}:1", MYSQL) - source
    assert str(more.without_newest_of(one, source)) == f"{one}:app:1,{other}:1"


@pytest.mark.parametrize(
    ("here", "there", "count"),
    [
        ("0-1-100", "0-1-105", 5),
        ("0-1-105", "0-1-100", 0),
        ("0-1-100,0-2-120", "0-1-110", 10),  # both went on alone; the sequence here is higher
        ("0-1-100,0-2-105", "0-1-110", 10),
        ("0-2-140", "0-2-120,0-1-130", 10),  # the other one is a copy that wrote for the first time
        ("0-2-120", "0-1-100", 0),  # a copy that does not list who wrote before
        ("0-2-120", "0-1-100,0-2-110", 0),
        ("0-1-100,0-2-120,5-1-7", "0-1-100,5-1-9", 2),
        ("0-1-100,5-2-9", "0-1-110,5-1-4,5-2-3", 11),
        ("", "0-1-3", 3),
        ("0-1-3", "", 0),
    ],
)
def test_what_another_server_wrote_is_not_hidden_by_what_this_one_wrote(here: str, there: str, count: int) -> None:
    assert GtidSet.parse(here, MARIADB).lacks(GtidSet.parse(there, MARIADB)) == count


def test_on_mysql_sets_say_it_exactly() -> None:
    here, there = GtidSet.parse(f"{A}:1-100,{B}:1-20", MYSQL), GtidSet.parse(f"{A}:1-110", MYSQL)
    assert here.lacks(there) == 10
