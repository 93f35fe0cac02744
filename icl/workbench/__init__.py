"""One prompt at a time, from what is set to what is answered: the playground without its page."""
