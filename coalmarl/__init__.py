"""coalmarl: coalitional games and learning agents, for the course *Learning to Team Up*."""

__version__ = "1.0.0"
