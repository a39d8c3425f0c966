"""What the machine is doing, and memory that is free again."""
