"""What the service needs: each check says what it found, and what to do. `idp doctor` runs all of them."""
