"""From shapes to a CT: painting, noise, metal streaks."""
