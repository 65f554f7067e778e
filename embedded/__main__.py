"""`python -m embedded serve` runs the emulator of a Supabase project."""

import sys

from embedded.commands.serve import main

if __name__ == "__main__":
    sys.exit(main())
