"""What the visitor's browser draws with: the service sends it with `draw=browser`, and a site is made of it."""
