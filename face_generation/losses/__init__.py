"""What training minimises: one class for each idea, its constants in the constructor."""
