"""The page of a pupil with the guardians, the page of an account, and the acts that help a guardian."""
