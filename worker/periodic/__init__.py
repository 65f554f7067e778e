"""What a worker does besides tasks, by the clock."""
