"""The HTML pages with their style sheet and script."""
