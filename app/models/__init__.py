"""The domain: tasks, profiles, articles and digests, as frozen models; and the names that it takes from others."""
