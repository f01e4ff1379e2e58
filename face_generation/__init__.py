"""Train, measure and serve generators of faces."""

import os

__version__ = "0.1.0"

# From 1.29 on, ONNX Runtime numbers the machine and reports to its makers what it runs, unless this is set before
# import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
