"""A database is named by one URL, in this process and in its children."""

from __future__ import annotations

import pytest

from example_project import databases


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///here.sqlite3", {"NAME": "here.sqlite3"}),
        ("sqlite:////var/there.sqlite3", {"NAME": "/var/there.sqlite3"}),
        ("sqlite://:memory:", {"NAME": ":memory:"}),
        (
            "postgres://ann:p%40ss@db:5433/shop",
            {"USER": "ann", "PASSWORD": "p@ss", "HOST": "db", "PORT": "5433", "NAME": "shop"},
        ),
        (
            "postgresql://postgres@/shop?host=%2Ftmp%2Fpg",
            {"HOST": "/tmp/pg", "PORT": "", "NAME": "shop", "OPTIONS": {}},
        ),
        (
            "postgresql://db/shop?connect_timeout=3&sslmode=require",
            {"OPTIONS": {"connect_timeout": 3, "sslmode": "require"}},
        ),
    ],
)
def test_a_url_names_a_database(url: str, expected: dict[str, object]) -> None:
    entry = databases.from_url(url)
    assert {key: entry[key] for key in expected} == expected


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/there.sqlite3",
        "postgresql://ann:p%40ss@db:5433/shop",
        "postgresql://postgres@/shop?host=%2Ftmp%2Fpg&connect_timeout=3",
        "mysql://root@127.0.0.1:3306/shop",
        "mariadb://root@/shop?host=/run/mysqld/mysqld.sock",
    ],
)
def test_another_process_reads_the_same_database_from_its_url(url: str) -> None:
    entry = databases.from_url(url)
    assert databases.from_url(databases.to_url(entry)) == entry


def test_an_unknown_scheme_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'oracle'.*sqlite, postgresql"):
        databases.from_url("oracle://db/shop")
