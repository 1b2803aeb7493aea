"""How many clips decide, and what a backbone's attention shows: measurements for the documents, on tuning pairs."""
