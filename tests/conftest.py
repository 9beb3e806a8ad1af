"""Set up for all tests: one torch thread, because small products wait longer for threads than they run."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
