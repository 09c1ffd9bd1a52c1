"""How far samples are from data: distances, and the features that they are taken in."""
