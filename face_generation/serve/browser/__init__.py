"""The files that a visitor's browser draws with. The service sends them with `draw=browser`. Sites consist of them."""
