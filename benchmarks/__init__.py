"""Speed of coalmarl beside its peers, as ratios within one run; never part of the tests."""
