"""The one writer: a file per actor, every function one transaction."""
