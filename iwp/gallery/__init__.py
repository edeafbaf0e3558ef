"""The examples answered ahead of time, and a folder of static files that shows them."""
