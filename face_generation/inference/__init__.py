"""What is drawn on the command line."""
