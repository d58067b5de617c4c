"""The facets: one package each, independent of one another."""
