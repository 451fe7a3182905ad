"""What models and datasets exist: rows of data, no heavy import, so that the api reads them too."""
