"""What of an edition is worth a reader's time: the index, the taste, the scores, the choice and the reasons."""

import os

# For matrices as small as these, numpy's threads cost more than they save, and take turns from the event loop.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
