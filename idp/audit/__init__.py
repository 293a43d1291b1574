"""The journal: a closed vocabulary of events, written in the transaction of what they tell, never changed afterwards."""
