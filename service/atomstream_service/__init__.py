"""Atomstream's processes: the engine, the control plane that supervises it, and the command line."""
