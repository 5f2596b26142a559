"""How one attempt is carried: on a thread, or on the event loop."""
