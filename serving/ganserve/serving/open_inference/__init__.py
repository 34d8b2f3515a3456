"""KServe's Open Inference Protocol over `answers.py`: for clients of Triton, KServe and MLServer."""
