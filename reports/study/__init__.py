"""What do people say: blind questionnaires of a run, and what their answers mean."""
