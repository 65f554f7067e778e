"""Connected libraries: a key is checked before it is stored, and the papers follow the library at Zotero."""
