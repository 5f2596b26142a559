"""Arrays written as text mean what the driver's own conversion means."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from django_tasks_durable.store.vendors.arrays import array_literal


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "{}"),
        ([1, None, -2], "{1,null,-2}"),
        ([True, False], "{true,false}"),
        (['a"b', "c\\d", "null", ""], '{"a\\"b","c\\\\d","null",""}'),
        (["line\nbreak"], '{"line\nbreak"}'),
        ([UUID(int=1)], '{"00000000-0000-0000-0000-000000000001"}'),
    ],
)
def test_an_array_is_written_as_postgresql_reads_it(values: list[object], text: str) -> None:
    assert array_literal(values) == text  # type: ignore[arg-type]


@pytest.mark.django_db
@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(), st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
        )
    )
)
def test_the_database_reads_back_every_text(values: list[str | None]) -> None:
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text[]", (array_literal(values),))
        assert cursor.fetchone() == (values,)
