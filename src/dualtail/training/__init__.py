"""Shared by all training loops: epochs and their states, SGD, histories, running out of memory."""
