"""Train, measure and serve generators of faces."""

import os

__version__ = "0.1.0"

# From 1.29 on ONNX Runtime gives the machine a number and reports to its makers what is run; it reads this when loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
