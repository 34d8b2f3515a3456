"""The way to the servers: addresses, channels, deadlines, and gRPC's failures as errors."""
