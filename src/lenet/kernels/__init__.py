"""The fused CPU engine, and the choice of an engine."""
