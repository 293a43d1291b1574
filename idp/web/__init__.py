"""What every page shares: headers, cookies, forms, language, errors. Knows Flask and nothing of accounts."""
