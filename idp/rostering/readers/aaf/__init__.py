"""Read the AAF (`ficAlimMENESR`)."""
