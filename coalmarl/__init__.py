"""coalmarl: coalitional games and learning agents, for the course *Learning to Team Up*."""

__version__ = "0.1.0"
