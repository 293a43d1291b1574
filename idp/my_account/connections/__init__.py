"""« Mes connexions »: devices, sign-ins, and how to sign out other devices."""
