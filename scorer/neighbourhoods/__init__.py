"""Metrics of who is near whom: functions of two neighbour tables, and for one of them of the vectors too."""
