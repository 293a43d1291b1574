"""`/equipe`: the colleagues of a scope: invited, renewed, ended, given a lost access back."""
