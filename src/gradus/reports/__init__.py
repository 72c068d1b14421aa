"""What a person looks at: so far the words of the terminal around a run."""
