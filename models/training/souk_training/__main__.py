"""`python -m souk_training …`."""

import os
import sys

# Before numpy and torch are loaded, which read them once. One thread, because the same seed
# shall give the same weights; and because the pools of BLAS and of torch, each as large as the
# machine, wait for each other in busy loops: with both, training takes fifty times as long.
for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[pool] = "1"

from souk_training.cli import main  # noqa: E402  (after the environment is set)

sys.exit(main())
