"""What each kind of task does, a file a kind."""
