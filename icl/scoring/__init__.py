"""Numbers made of records, without a model."""
