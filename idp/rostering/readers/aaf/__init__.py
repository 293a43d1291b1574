"""The reader of the AAF (`ficAlimMENESR`)."""
