"""The evening of a school-year start: people arrive whether or not the service keeps up (an open loop)."""
