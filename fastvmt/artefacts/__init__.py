"""What was made, and is it whole: videos, weights fitted to a reference, the state of the code that made them."""
