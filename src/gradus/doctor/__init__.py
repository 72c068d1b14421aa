"""The doctor: why training does or doesn't work. ``watch/`` sees, ``rules/`` judge, ``words.py`` tells."""
