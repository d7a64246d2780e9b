"""`python -m vaelab.cli`."""

import sys

from vaelab.cli import main

sys.exit(main())
