"""What the test of the guide plays on the new system."""
