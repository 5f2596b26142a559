"""A Django project that shows the library at work."""
