"""What a person sees: progress, summary, numbers."""
