"""The operator's side of a run: a socket outside of the run's reach, questions that wait for an answer, orders."""
