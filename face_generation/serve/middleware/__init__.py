"""What stands between the network and the app, for every request."""
