"""The domain: tasks, profiles, articles and digests, as frozen models; and the categories of arXiv and bioRxiv."""
