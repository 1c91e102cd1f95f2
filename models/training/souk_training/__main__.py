"""`python -m souk_training …`."""

import sys

from souk_training.cli import main

sys.exit(main())
