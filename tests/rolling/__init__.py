"""Two releases of one project, ``before`` and ``after``, whose workers stand side by side on one database."""
