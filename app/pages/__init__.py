"""What people look at: the pages, their style sheet and their script."""
