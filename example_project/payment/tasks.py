"""Payment by the interval, as a class with live state: what is used in a cycle is billed at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from django_tasks_durable import Workflow, command, query, transition

BASE_UNITS = 1
CYCLE_HOURS = 24
# The receipts that really went out.
OUTBOX: list[str] = []


class AccountClosed(Exception):
    """Nothing can be used any more on a cancelled account."""


class IntervalPayment(Workflow):
    """Bill the usages of each cycle until somebody cancels; the last, shorter cycle is billed as well."""

    @dataclass
    class State:
        """Whose account it is, what was used in this cycle, and the receipts so far."""

        email: str = "ada@example.org"
        cycle: int = 1
        usages: list[int] = field(default_factory=list)
        status: str = "active"
        receipts: list[list[int]] = field(default_factory=list)

    state: State

    @transition(to=["wait_cycle"], start=True)
    def begin_cycle(self) -> str:
        """Open a cycle with what everybody pays."""
        self.step("base", self.state.usages.append, BASE_UNITS)
        return "wait_cycle"

    @transition(to=["bill"])
    def wait_cycle(self) -> str:
        """Let the cycle pass, unless the account is closed."""
        if self.state.status == "active":
            self.sleep("cycle", hours=CYCLE_HOURS)
        return "bill"

    @transition(to=["begin_cycle", None])
    def bill(self) -> str | None:
        """Send one receipt for the cycle."""
        self.step("receipt", self._send_receipt)
        return "begin_cycle" if self.state.status == "active" else None

    def _send_receipt(self) -> None:
        OUTBOX.append(f"{self.state.email}: {' + '.join(map(str, self.state.usages))} = {sum(self.state.usages)} units")
        self.state.receipts.append(self.state.usages)
        self.state.usages = []
        self.state.cycle += 1

    @command
    def add(self, units: int) -> int:
        """Record a usage and return what this cycle comes to."""
        if self.state.status != "active":
            raise AccountClosed("this account is closed")
        self.state.usages.append(units)
        return sum(self.state.usages)

    @command(wakes=True)
    def cancel(self) -> None:
        """Close the account: the cycle ends now."""
        self.state.status = "cancelled"

    @query
    def due(self) -> int:
        """Say what this cycle comes to so far."""
        return sum(self.state.usages)
