"""The sample edition: invented papers and news, served on loopback with the paths of the real hosts."""
