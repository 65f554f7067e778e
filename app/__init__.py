"""The API process, and what the API and the worker share."""
