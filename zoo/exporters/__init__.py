"""Models written as other projects read them."""
