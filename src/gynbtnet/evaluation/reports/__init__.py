"""Report pages: HTML elements, slices, tables, example cases."""
