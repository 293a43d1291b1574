"""A school closes an account or one tie, or opens it again; a person says « Ce n’est pas mon enfant »."""
