"""Who is let in: certificates, tokens, and how often."""
