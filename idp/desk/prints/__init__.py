"""`/impressions`: the letters that a school prints, by class or all together, as jobs of the worker."""
