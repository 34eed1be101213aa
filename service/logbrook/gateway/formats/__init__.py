"""Wire formats, one module each: where it is sent, what it is read as, and what is answered."""
