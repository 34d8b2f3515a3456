"""Loads for servers of other makers and for ours, from processes of their own."""
