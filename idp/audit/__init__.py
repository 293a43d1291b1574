"""The journal: a closed vocabulary of events, written with what they tell, never changed afterwards."""
