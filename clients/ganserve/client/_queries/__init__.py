"""What is asked for: the arguments of a call as a query, and the parts that it is sent in."""
