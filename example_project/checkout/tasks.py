"""A checkout in steps that are remembered by name."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from django_tasks_durable import task
from django_tasks_durable.engine.context import DurableContext

MOST_CENTS = 500_000
# What really happened, step by step: the example compares it with what should have.
JOURNAL: list[str] = []


class CardDeclined(Exception):
    """The bank wants to see the buyer first."""


@task
def checkout(context: DurableContext, order: str, cents: int) -> Generator[str, None, dict[str, Any]]:
    """Reserve the goods, charge the card, ship; say so after each."""
    goods = context.step("reserve", reserve, order)
    yield f"reserved {goods}"
    payment = context.step("charge", charge, order, cents)
    yield f"charged {payment['cents']} cents"
    parcel = context.step("ship", ship, goods)
    yield f"shipped {parcel}"
    return {"payment": payment["id"], "parcel": parcel}


def reserve(order: str) -> str:
    """Put the goods aside."""
    JOURNAL.append("reserve")
    return f"goods of {order}"


def charge(order: str, cents: int) -> dict[str, Any]:
    """Take the money. Raise CardDeclined for more than a card is good for."""
    if cents > MOST_CENTS:
        raise CardDeclined(f"The bank declined {cents / 100:,.2f} EUR for the order {order}.")
    JOURNAL.append("charge")
    return {"id": f"payment-{order}", "cents": cents}


def ship(goods: str) -> str:
    """Hand the goods to the carrier."""
    JOURNAL.append("ship")
    return f"parcel with {goods}"
