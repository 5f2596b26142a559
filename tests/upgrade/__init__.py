"""Rows that the first migration's code left behind, and what today's code makes of them."""
