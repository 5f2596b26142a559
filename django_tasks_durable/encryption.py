"""A ready payload codec: Fernet of the ``cryptography`` package, with keys that can be changed (extra ``encryption``)."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

__all__ = ["FernetCodec"]


class FernetCodec:
    """Seals stored texts with the first key, and opens what any of the keys has sealed."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take keys of ``Fernet.generate_key()``, the newest first. Raise ValueError for none, or for what is none."""
        if not keys:
            raise ValueError("OPTIONS['payload_keys'] is empty. Make one: Fernet.generate_key().")
        each = [_fernet(place, key) for place, key in enumerate(keys)]
        self._fernet, self._newest = MultiFernet(each), each[0]

    def seal(self, text: str) -> str:
        """Return the token of a text."""
        return self._fernet.encrypt(text.encode()).decode("ascii")

    def open(self, sealed: str) -> str:
        """Return the text of a token. Raise InvalidToken for one of other keys, and for one that was changed."""
        return self._fernet.decrypt(sealed).decode()

    def is_current(self, sealed: str) -> bool:
        """Tell whether the first key has sealed a text."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True


def _fernet(place: int, key: str) -> Fernet:
    try:
        return Fernet(key)
    except (ValueError, TypeError) as error:
        # Its place and not itself: this is printed by checks.
        raise ValueError(f"OPTIONS['payload_keys'][{place}] is no key of Fernet.generate_key().") from error
