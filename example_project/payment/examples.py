"""Payment by the interval, led by orders: usages are added, the state is looked at, the account is closed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from django_tasks_durable import export_snapshot, validate_snapshot
from django_tasks_durable.testing import advance, drain, frozen
from example_project.examples import Example, ExampleFailed, Stage
from example_project.payment import tasks
from example_project.payment.tasks import IntervalPayment

SCRIPT = "/add 2; /state; /save out.json; /cancel"


class Teller:
    """Takes orders for one account and passes them on."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.result = IntervalPayment.enqueue(IntervalPayment.State())
        self.account = IntervalPayment.of(self.result.id)
        self.added: list[int] = []
        self.saved: list[Path] = []
        drain()

    def obey(self, order: str) -> None:
        """Carry out one order. Raise ExampleFailed for one that cannot be understood."""
        orders: dict[str, Callable[[list[str]], None]] = {
            "/add": self._add,
            "/state": self._state,
            "/save": self._save,
            "/next": self._next,
            "/cancel": self._cancel,
        }
        name, *words = shlex.split(order)
        if name not in orders:
            near = get_close_matches(name, orders, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(orders)}"
            raise ExampleFailed(f"There is no order {name!r}: {hint}")
        self.stage.say(f"> {order}")
        orders[name](words)
        drain()

    def _add(self, words: list[str]) -> None:
        if len(words) != 1 or not words[0].isdigit():
            raise ExampleFailed(f"/add takes a whole number of units, not {' '.join(words)!r}")
        self.stage.say(f"  this cycle comes to {self.account.add(int(words[0]))} units")
        self.added.append(int(words[0]))

    def _state(self, words: list[str]) -> None:
        self.stage.say(f"  {json.dumps(asdict(self.account.state))}")

    def _save(self, words: list[str]) -> None:
        file = self.stage.directory / (words[0] if words else "out.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(export_snapshot(str(self.result.id)), indent=1))
        self.saved.append(file)
        self.stage.say(f"  saved to {file}")

    def _next(self, words: list[str]) -> None:
        advance(tasks.CYCLE_HOURS * 3600)
        drain()
        self.stage.say(f"  a cycle has passed; {len(tasks.OUTBOX)} receipt(s) were sent")

    def _cancel(self, words: list[str]) -> None:
        self.account.cancel()


def interval_payment(stage: Stage) -> Mapping[str, Any]:
    """Open an account, obey the orders, and look at the receipts."""
    tasks.OUTBOX.clear()
    # The clock stands still: a cycle passes when somebody says /next.
    with frozen():
        teller = Teller(stage)
        if stage.ask is not None and stage.script is None:
            _converse(teller, stage.ask)
        else:
            for order in filter(None, map(str.strip, (stage.script or SCRIPT).split(";"))):
                teller.obey(order)
        if teller.account.state.status == "active":
            teller.obey("/cancel")
    teller.result.refresh()
    state = teller.result.return_value
    for receipt in tasks.OUTBOX:
        stage.say(f"  receipt to {receipt}")
    billed = [units for receipt in state.receipts for units in receipt]
    stage.expect("receipts, one for each cycle", len(tasks.OUTBOX), state.cycle - 1)
    stage.expect(
        "usages billed, each once", sorted(billed), sorted([*teller.added, *[tasks.BASE_UNITS] * (state.cycle - 1)])
    )
    stage.expect("the account", state.status, "cancelled")
    for file in teller.saved:
        problems = validate_snapshot(json.loads(file.read_text())).errors
        stage.expect(f"problems in {file.name}", list(problems), [])
    return {"receipts": state.receipts, "sent": tasks.OUTBOX, "saved": teller.saved}


def _converse(teller: Teller, ask: Callable[[str], str]) -> None:
    """Take orders from somebody until the account is closed."""
    teller.stage.say("Orders: /add UNITS, /state, /save FILE, /next, /cancel")
    while teller.account.state.status == "active":
        try:
            teller.obey(ask("? ").strip() or "/state")
        except ExampleFailed as error:
            teller.stage.say(f"  {error}")
        except EOFError:
            return


EXAMPLES = [
    Example(
        "interval-payment", "an account is billed by the cycle and led by commands", interval_payment, takes_script=True
    )
]
