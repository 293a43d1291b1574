"""`/classes`: how far each class of the school is, its letters, reminders, and the list for the class teacher."""
