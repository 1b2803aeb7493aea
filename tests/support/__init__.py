"""What tests share: run folders made by hand, the command line as a user types it, plug-ins that misbehave, hostile texts."""
