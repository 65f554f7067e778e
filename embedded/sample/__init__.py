"""The sample edition: invented papers and news, served on loopback at the paths of the real hosts."""
