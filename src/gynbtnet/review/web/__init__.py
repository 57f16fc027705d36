"""Server of the review page: access, the actions of the page, and the report of an evaluation."""
