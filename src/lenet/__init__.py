"""LeNet-5 as real software."""
