"""The store of codes and tokens: one contract, one implementation for each database."""
