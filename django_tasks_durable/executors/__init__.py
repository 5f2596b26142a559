"""How one attempt is carried: on a thread, on the event loop, or in a child process."""
