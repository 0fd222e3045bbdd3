"""Networks of published systems, with their layout of weights. Importing a file of this room imports torch; importing the room does not."""
