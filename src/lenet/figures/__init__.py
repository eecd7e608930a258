"""What is drawn about trainings, evaluations and networks: values in, PNG out."""
