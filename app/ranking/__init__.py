"""What of an edition is worth a reader's time: the index, the taste, the scores, the choice and the reasons."""
