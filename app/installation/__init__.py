"""What is installed, compared with the lock and with its record."""
