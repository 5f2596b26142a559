"""Measure what people wait for: `python -m tests.benchmarks admin [--runs 1000000] [--repeat 15] [--most-ms 300]`, and
`python -m tests.benchmarks live [--db sqlite] [--clients 1 100 1000] [--events 100] [--pause 0.5] [--server uvicorn]`.
`python -m tests.benchmarks regression [--rounds 40] [--slower 0.2]` shows that benchtasks would find claims that take longer.

On the PostgreSQL that DATABASE_URL names, else on the embedded one; in a database of its own, which goes again.
"""

from __future__ import annotations

import argparse
import os
import sys

from tests import servers
from tests.benchmarks import ending


def main(arguments: list[str] | None = None) -> int:
    """Measure one scene. Return 0 when every figure is within its bound."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("scene", choices=["admin", "live", "regression"])
    parser.add_argument("--runs", type=int, default=1_000_000, help="how many runs the table holds")
    parser.add_argument("--repeat", type=int, default=15, help="how often each page is opened")
    parser.add_argument("--most-ms", type=float, default=300.0, help="what a page may take at the median")
    parser.add_argument(
        "--db", choices=["postgresql", "sqlite"], default="postgresql", help="where the runs of live lie"
    )
    parser.add_argument(
        "--clients",
        type=int,
        nargs="+",
        default=[1, 100, 1000],
        help="how many browsers listen at once, scene by scene",
    )
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two commits")
    parser.add_argument("--events", type=int, default=100, help="how many commits are listened for")
    parser.add_argument("--server", choices=["daphne", "uvicorn"], default="daphne", help="what serves the WebSockets")
    parser.add_argument("--rounds", type=int, default=40, help="how often regression takes each of its two scenes")
    parser.add_argument("--slower", type=float, default=0.2, help="by which share a claim takes longer in regression")
    parser.add_argument("--scale", type=float, default=0.1, help="shortens or lengthens the scenes of regression")
    options = parser.parse_args(arguments)
    ending.end_on_sigterm()
    with servers.sqlite() if options.db == "sqlite" else servers.postgresql() as url:
        os.environ["DATABASE_URL"] = url
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        import django

        django.setup()
        from tests.benchmarks import admin, live, regression  # need the settings

        if options.scene == "live":
            return live.measure(
                clients=options.clients, events=options.events, pause=options.pause, server=options.server
            )
        if options.scene == "regression":
            return regression.measure(rounds=options.rounds, slower=options.slower, scale=options.scale)
        return admin.measure(runs=options.runs, repeat=options.repeat, most_ms=options.most_ms)


if __name__ == "__main__":
    sys.exit(main())
