"""What a person looks at: the words of the terminal around a run, its figures and its pages."""
