"""Stories of families whose access is closed: what people see after each step, whatever tables hold it."""
