"""The sources of an edition: one adapter for each kind of source, over one HTTP fetcher with size and time limits."""
