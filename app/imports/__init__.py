"""Libraries of papers as people export them: BibTeX, RIS, CSL JSON, and plain lists of identifiers."""
