"""What people do with predictions: analyze one, compare many, explain an operator, look into the catalogue."""
