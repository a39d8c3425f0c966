"""What to deploy for so many jobs, from what was measured: the guidelines of the field's papers, as code."""
