"""The queue worker: claims tasks, does them, reports what came of them."""
