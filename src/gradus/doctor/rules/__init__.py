"""One rule a file: what it looks for, and its words. ``gradus.doctor.rule`` says what a rule is."""
