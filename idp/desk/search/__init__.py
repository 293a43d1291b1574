"""The search of families: by pupil, guardian, class, identifier or mail address, within the scope of the post."""
