"""Journeys through the pages in a real browser, with the site and its workers in processes of their own."""
