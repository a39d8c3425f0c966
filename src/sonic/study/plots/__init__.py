"""Pictures of a study. Each takes series or records and returns a matplotlib Figure; extra ``plots`` or ``study``."""
