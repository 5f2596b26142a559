"""The checkpoints of a run as a tree of scopes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from urllib.parse import urlencode

from django_tasks_durable.snapshots.parts import CheckpointSnapshot
from django_tasks_durable.snapshots.policy import Veil
from django_tasks_durable.snapshots.text import duration, plain, pretty

LONGEST_VALUE = 10_000


@dataclass(kw_only=True)
class Node:
    """One checkpoint in the tree of scopes, or a scope that has none of its own."""

    name: str
    path: str
    checkpoint: CheckpointSnapshot | None = None
    value: str = ""
    took: str = ""
    children: list[Node] = field(default_factory=list)

    @property
    def query(self) -> str:
        """The part of an address that names the checkpoint."""
        return "" if self.checkpoint is None else urlencode({"path": self.checkpoint.path})


def grow(checkpoints: Iterable[CheckpointSnapshot], veil: Veil) -> list[Node]:
    """Order checkpoints by the scopes that their paths name."""
    root = Node(name="", path="")
    nodes = {"": root}
    for checkpoint in checkpoints:
        node = root
        for path in accumulate(checkpoint.path.split("/"), "{}/{}".format):
            if path not in nodes:
                nodes[path] = Node(name=plain(path.rpartition("/")[2]), path=plain(path))
                node.children.append(nodes[path])
            node = nodes[path]
        node.checkpoint = checkpoint
        node.value = pretty(veil(checkpoint.value), longest=LONGEST_VALUE)
        node.took = duration(checkpoint.seconds)
    return root.children
