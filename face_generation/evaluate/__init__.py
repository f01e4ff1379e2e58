"""What is measured against what, and the report about it."""
