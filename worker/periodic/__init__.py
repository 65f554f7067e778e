"""The worker's periodic jobs."""
