"""`python -m embedded.commands.service PARENT MODULE [OPTIONS]`: runs the API or the worker until its parent ends."""

import runpy
import sys

from embedded.parent_death import end_with

if __name__ == "__main__":
    parent, module, *options = sys.argv[1:]
    end_with(int(parent))
    sys.argv[1:] = options
    runpy.run_module(module, run_name="__main__", alter_sys=True)
