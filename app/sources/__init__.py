"""Where an edition comes from: one adapter for each kind of source, over one capped HTTP fetcher."""
