"""What our client calls of PyJEM, as its published source has it."""
