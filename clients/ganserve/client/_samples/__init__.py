"""What comes: samples, the model that made them, and the files that they are written to."""
