"""Documents as HTML: a page that needs nothing besides itself, and fragments for notebooks."""
