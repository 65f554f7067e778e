"""From a day's edition to a reader's digest: ranking, analysis, rendering."""
