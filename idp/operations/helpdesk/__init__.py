"""The help desk's commands: accounts, disputes, notices and the list of stolen passwords."""
