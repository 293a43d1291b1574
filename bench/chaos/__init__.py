"""Faults under load: what people notice while parts of the service fail, and what is lost or done twice."""
