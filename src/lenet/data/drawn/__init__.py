"""Pictures drawn by rule: handwriting, and what is none of a data set's things."""
