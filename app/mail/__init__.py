"""A digest as a mail: how it is written, and the ways it is sent."""
