"""Does the embedded model do what it is for: shapes, captions, and whether methods that train can learn on it."""
