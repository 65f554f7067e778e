"""The HTTP side: routers, their request and response models, and the form of errors."""
