"""What this process may use of its machine, what the machine is doing, and memory that is free again."""
