"""Servers of other makers, each as its own documentation would have it, for one ONNX file from latents to images.

Each module runs by itself, `python -m peer_servers.NAME MODEL.onnx PORT`, and listens on the loopback interface. All
but `threads` need an environment of their own, of the packages that `requirements/NAME.txt` pins.
"""
