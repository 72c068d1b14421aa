"""Faults for real: processes killed at any instant, damaged files, full disks. ``harness.py`` is where to begin."""
