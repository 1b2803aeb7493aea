"""What will it take: seconds, memory, disk."""
