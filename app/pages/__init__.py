"""What people look at: pages, their style sheet and their script."""
