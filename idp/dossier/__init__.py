"""The file that a buyer asks for, in French, from the running configuration: `idp dossier`."""
