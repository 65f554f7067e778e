"""What every process has: logs, metrics, a private port for scrapers."""
