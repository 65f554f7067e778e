"""Writing of digests from editions: ranking, analysis and rendering."""
