"""Ranks articles for a reader: the index, the feedback model, the scores, the selection and the reasons."""

import os

# For matrices as small as these, numpy's threads cost more than they save, and take turns from the event loop.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
