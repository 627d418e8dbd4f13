"""From video files to training tensors."""
