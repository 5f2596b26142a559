"""What a project's payload codec makes of stored texts: without its keys nobody reads them.

One codec serves the whole process, whatever alias a run is of: a text does not say whose it is.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from django_tasks_durable.conf import durable_aliases, get_options
from django_tasks_durable.exceptions import Unreadable

SEALED = "$sealed"
_MARK = f'"{SEALED}"'


@runtime_checkable
class PayloadCodec(Protocol):
    """What ``OPTIONS["payload_codec"]`` names: made with the ``payload_keys``, asked from any thread."""

    def seal(self, text: str) -> str:
        """Return what is to be stored for JSON text: ASCII without control characters."""

    def open(self, sealed: str) -> str:
        """Return the text that was sealed. Raise any exception for what cannot be opened."""


def codec_in_use() -> PayloadCodec | None:
    """Return the codec that the settings name, None without one. Raise ImproperlyConfigured when it cannot be used."""
    if not _known:
        _known.append(_made())
    return _known[-1]


def seal(text: str) -> str:
    """Return the JSON text under which a text is stored; the same text where the settings name no codec."""
    codec = codec_in_use()
    return text if codec is None else f'{{"{SEALED}":{json.dumps(codec.seal(text))}}}'


def is_sealed(text: str) -> bool:
    """Tell whether a stored text is sealed, or holds a part that is."""
    return _MARK in text


def unseal(payload: Any) -> str:
    """Return the text that stands behind the tag. Raise Unreadable when nothing here opens it."""
    codec = codec_in_use()
    if codec is None:
        raise Unreadable(SEALED, "it is encrypted, and OPTIONS['payload_codec'] names nothing that could open it.")
    try:
        return codec.open(payload)
    except Exception as error:  # whatever the project's codec says about a text that is damaged or of another key
        raise Unreadable(SEALED, f"none of the keys here opens it ({type(error).__name__}).") from error


def tells_what_is_current() -> bool:
    """Tell whether the codec knows what the newest key has sealed."""
    return hasattr(codec_in_use(), "is_current")


def resealed(text: str) -> str:
    """Return a stored text with all that is sealed in it sealed by the newest key: the same text when it is so already.

    A codec that has ``is_current(sealed)`` tells what is. Raise Unreadable when nothing here opens a part, or it is damaged.
    """
    if SEALED not in text:
        return text
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Unreadable(SEALED, "it is no JSON.") from error
    anew = _sealed_anew(value)
    return text if anew == value else json.dumps(anew, separators=(",", ":"))


def _sealed_anew(value: Any) -> Any:
    match value:
        case {"$sealed": str() as sealed} if len(value) == 1:
            return {SEALED: _anew(sealed)}
        case dict():
            return {name: _sealed_anew(part) for name, part in value.items()}
        case list():
            return [_sealed_anew(part) for part in value]
        case str() if _MARK in value:
            # A stored text may hold another one as it is; what no key opens is a text that only looks like it.
            with suppress(ValueError):
                return resealed(value)
    return value


def _anew(sealed: str) -> str:
    codec = codec_in_use()
    held = unseal(sealed)
    inner = resealed(held)
    is_current = getattr(codec, "is_current", None)
    if codec is None or (inner == held and is_current is not None and is_current(sealed)):
        return sealed
    return codec.seal(inner)


_known: list[PayloadCodec | None] = []


def _made() -> PayloadCodec | None:
    # A program without settings has no TASKS to name one; the codec is of use there, too.
    if not settings.configured and not os.environ.get(ENVIRONMENT_VARIABLE):
        return None
    wanted = {
        (options.payload_codec, options.payload_keys) for options in (get_options(alias) for alias in durable_aliases())
    }
    if len(wanted) > 1:
        raise ImproperlyConfigured(
            "The aliases of TASKS name different payload codecs or keys. "
            "Give OPTIONS['payload_codec'] and OPTIONS['payload_keys'] the same values everywhere."
        )
    path, keys = wanted.pop() if wanted else ("", ())
    if not path:
        return None
    try:
        made = import_string(path)(keys)
    except Exception as error:
        raise ImproperlyConfigured(f"OPTIONS['payload_codec'] {path!r} cannot be used: {error}") from error
    if not isinstance(made, PayloadCodec):
        raise ImproperlyConfigured(f"OPTIONS['payload_codec'] {path!r} makes nothing that can seal() and open().")
    return made


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "TASKS":
        _known.clear()


setting_changed.connect(_forget, dispatch_uid="django_tasks_durable.sealing")
