"""`/etablissement`: the data of a school that letters print, and a preview of its letter."""
