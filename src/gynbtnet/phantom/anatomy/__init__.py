"""The phantom's organs, bones, vessels and applicators."""
