"""The channel layer, where the project has one that reaches other processes: hints go out by it, and may come in by it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Any
from uuid import UUID

from channels import DEFAULT_CHANNEL_LAYER
from channels.exceptions import InvalidChannelLayerError
from channels.layers import BaseChannelLayer, InMemoryChannelLayer, get_channel_layer

if TYPE_CHECKING:
    from .notify import Address

GROUP = "durable.tasks"
TYPE = "durable.changed"
SEND_SECONDS = 1.0
# Each id is a message of its own to the group of its task; more than this are told to the common group only.
IDS_TOLD_APART = 50


def group_of(task_id: UUID | str) -> str:
    """Name the group that is told when one task changes: what a consumer of the project's own joins."""
    return f"durable.task.{UUID(str(task_id)).hex}"


def reaching(alias: str = DEFAULT_CHANNEL_LAYER) -> BaseChannelLayer | None:
    """Return the layer of an alias; None if there is none, or it ends with this process."""
    try:
        layer = get_channel_layer(alias)
    except (InvalidChannelLayerError, ImportError):
        return None  # The system check tells; without a layer there are other ways.
    return None if layer is None or isinstance(layer, InMemoryChannelLayer) else layer


def crosses(alias: str) -> bool:
    """Tell whether the layer of an alias reaches other processes."""
    return reaching(alias) is not None


class LayerSender:
    """Sends hints by a layer, for one thread only: layers keep connections for each event loop, so it keeps one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def __call__(self, address: Address, words: Collection[str]) -> None:
        """Tell the common group which tasks changed, and the group of each task, unless there are too many."""
        layer = reaching(address.using)
        if layer is not None:
            self._loop.run_until_complete(asyncio.wait_for(self._send(layer, words), SEND_SECONDS))

    async def _send(self, layer: BaseChannelLayer, words: Collection[str]) -> None:
        apart = sorted(words) if len(words) <= IDS_TOLD_APART else []
        message: dict[str, Any] = {"type": TYPE, "task_ids": [str(UUID(word)) for word in apart] or None}
        await layer.group_send(GROUP, message)
        for word in apart:
            await layer.group_send(group_of(word), message | {"task_ids": [str(UUID(word))]})

    def close(self) -> None:
        """Close the connections: a layer hears of the end of its event loop."""
        self._loop.close()
