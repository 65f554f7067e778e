"""Parsers of exported libraries of papers: BibTeX, RIS, CSL JSON, and plain lists of identifiers."""
