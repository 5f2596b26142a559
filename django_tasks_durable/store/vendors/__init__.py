"""All that depends on the database's brand."""

from .session import Session, private_session, session, write_transaction

__all__ = ["Session", "private_session", "session", "write_transaction"]
