"""The commands: a module for each, called as it is, with a ``COMMAND``. Nothing else names them."""
