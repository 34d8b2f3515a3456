"""The server, which many callers share: `service → sampling → batcher`, over the runtime. Never imports torch."""
