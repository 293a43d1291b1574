"""The purge of a night, under load: whether deletes are enough, or tables have to be partitioned by time."""
