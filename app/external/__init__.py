"""Access to external services: the HTTP client and the rules for allowed addresses."""
