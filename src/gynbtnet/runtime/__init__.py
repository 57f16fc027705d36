"""Services that every package uses: errors, settings, progress, processes, atomic files, limits of parsing."""
