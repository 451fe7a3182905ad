"""The running processes: queue, workers, reconciler, api, client and command line. May import every other room."""
