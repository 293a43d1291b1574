"""`/ent`: the registration of ENTs, their trial, their secret and their charter."""
