"""What a person at a terminal sees: one line of what goes on, text that steers nothing, streams that outlast readers."""
