"""Calls: whom to ask, again and again until there is an answer, and what is made of the answers."""
