"""How images vary from epoch to epoch: views, the policies that make them, and mixing."""
