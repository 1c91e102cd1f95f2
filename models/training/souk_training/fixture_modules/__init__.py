"""Small TorchScript modules of every kind that the server must serve, one file for each group of kinds."""
