"""Learning of the networks. Importing a file of this room imports torch; importing the room does not."""
