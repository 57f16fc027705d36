"""What every package stands on: errors, settings, progress, processes, atomic files, limits on what is parsed."""
