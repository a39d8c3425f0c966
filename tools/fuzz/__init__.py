"""Fuzzing: every reader of bytes from elsewhere, and a live server. ``make fuzz`` runs it; see CONTRIBUTING.md."""
