"""`python -m react_rl` is the command `react-rl`."""

import sys

from react_rl.experiments.cli import main

sys.exit(main())
