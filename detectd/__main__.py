"""`python -m detectd` is `detectd`."""

import sys

from detectd.cli import main

sys.exit(main())
