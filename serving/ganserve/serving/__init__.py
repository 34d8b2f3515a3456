"""The server: `service → batcher → engine`, each ignorant of the one above it. Never imports torch."""
