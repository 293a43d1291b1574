"""The parts that all pages share: headers, cookies, forms, languages, errors. It knows Flask, but no account."""
