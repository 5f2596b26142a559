"""The order in which earlier slices used the primitives of one scope. Pure, as the replay that asks it."""

from __future__ import annotations

# So many before and after the place at which code and history part are told.
NEIGHBOURS = 2


class Order:
    """The order in which earlier slices used the primitives of one scope, as far as it can still be compared."""

    __slots__ = ("_compared", "_written", "heads")

    def __init__(self) -> None:
        # In the order of writing, which is how a position that was forgotten and filled again shows.
        self._written: list[tuple[int, str, str]] = []
        self._compared: list[tuple[str, str]] | None = None
        self.heads: set[str] = set()

    def add(self, position: int, path: str, fingerprint: str) -> None:
        """Take up one more record."""
        self._written.append((position, path, fingerprint))

    def paths(self, start: int, end: int) -> set[str]:
        """Return the paths whose last known position lies between these, the end not included."""
        return {path for position, path, _ in self._written if start <= position < end}

    @property
    def compared(self) -> list[tuple[str, str]]:
        """Path and fingerprint by position, up to where the order can be compared.

        That ends at the first position that is missing (its failure was forgotten), and after one that was written anew
        when later ones were there already: what follows was left by an attempt that took another way.
        """
        if self._compared is None:
            in_order = all(place == written[0] for place, written in enumerate(self._written))
            self._compared = [written[1:] for written in self._written] if in_order else self._comparable()
        return self._compared

    def around(self, position: int, prefix: int) -> str:
        """Tell the order around a position, which is marked; ``prefix`` is how much of each path is left out."""
        first, last = max(0, position - NEIGHBOURS), position + NEIGHBOURS + 1
        told = [
            f"[{path[prefix:]}]" if place == position else path[prefix:]
            for place, (path, _) in enumerate(self.compared[first:last], first)
        ]
        return ", ".join([*(["…"] if first else []), *told, *(["…"] if last < len(self.compared) else [])])

    def _comparable(self) -> list[tuple[str, str]]:
        last_written: dict[int, int] = {}
        contested: set[int] = set()
        for index, (position, path, _) in enumerate(self._written):
            earlier = last_written.get(position)
            if earlier is not None and self._written[earlier][1] != path:
                contested.add(position)
            last_written[position] = index
        first_written_after = self._first_written_after(last_written)
        compared: list[tuple[str, str]] = []
        for position in range(len(last_written)):
            if position not in last_written or position in contested:
                break
            compared.append(self._written[last_written[position]][1:])
            if first_written_after[position] < last_written[position]:
                break
        return compared

    def _first_written_after(self, last_written: dict[int, int]) -> dict[int, int]:
        """Say for each position when the first record of a later one was written.

        Branches of a gather end in any order, so among themselves they prove nothing and are left out.
        """
        earliest: dict[int, int] = {}
        for index, (position, path, _) in enumerate(self._written):
            if not _is_branch(path):
                earliest.setdefault(position, index)
        found: dict[int, int] = {}
        lowest = len(self._written)
        for position in sorted(last_written, reverse=True):
            found[position] = lowest
            lowest = min(lowest, earliest.get(position, lowest))
        return found


def _is_branch(path: str) -> bool:
    return path[path.rfind("/") + 1 :].startswith("branch:")
