"""Pictures by URL, metrics, probes and a page, over HTTP on a port of their own: a thin shell over `Answers`."""
