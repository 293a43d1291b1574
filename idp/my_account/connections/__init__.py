"""« Mes connexions »: devices, sign-ins, and how others are signed out."""
