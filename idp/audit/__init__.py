"""The journal: a closed vocabulary of events, written in the transaction of the event and never changed."""
