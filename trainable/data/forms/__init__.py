"""The forms in which images come: folders, tables, and the collections of other libraries."""
