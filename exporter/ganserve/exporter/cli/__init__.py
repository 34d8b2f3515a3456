"""The commands `ganserve export`, `ganserve import` and `ganserve bench model`."""
