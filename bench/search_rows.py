"""Fills a PostgreSQL database with an académie for the search of the desk: pupils with two guardians each, by SQL."""

from sqlalchemy import Connection, text

_SYLLABLES = (
    "le la ma du ben de roy mar tin ber nard pe tit ro bert ri chard dur and mo reau lau rent si mon mi chel "
    "gar cia da vid bou cher far ge vin cent lam brun dja bou ali kha led nguy thi van put leb lan fon ta ine"
)
_GIVEN = (
    "malo lea hugo jade louis emma gabriel louise raphael alice jules chloe adam lina arthur mila lucas rose leo anna "
    "ines noah zoe ethan lena paul julia nathan sarah tom manon theo eva sacha camille yanis nora rayan elise mathis "
    "anais enzo clara nolan lucie maxime agathe aaron romane noemie karim fatou yasmine mohamed jean pierre marie anne"
)
_STATEMENTS = (
    "CREATE TEMP TABLE syllable AS SELECT s FROM unnest(string_to_array(:syllables, ' ')) s",
    "CREATE TEMP TABLE given AS SELECT row_number() OVER () - 1 AS n, s FROM unnest(string_to_array(:given, ' ')) s",
    """CREATE TEMP TABLE surname AS SELECT row_number() OVER () - 1 AS n, s FROM (
        SELECT a.s || b.s || coalesce(c.s, '') AS s FROM syllable a CROSS JOIN syllable b
        LEFT JOIN (SELECT s FROM syllable UNION ALL SELECT '') c ON true ORDER BY random()) names""",
    "CREATE UNIQUE INDEX ON surname (n)",
    "CREATE UNIQUE INDEX ON given (n)",
    """INSERT INTO school (id, uai, name, degree, postal_address, phone, hours, source)
        SELECT ('000000000000400080' || lpad(to_hex(n), 14, '0'))::uuid, 'C' || n, 'Collège ' || n, 'SECONDARY', '[]',
        '', '', '' FROM generate_series(1, :schools) n""",
    """CREATE TEMP TABLE family AS SELECT n, 1 + n % :schools AS school,
        floor(power(random(), 2) * (SELECT count(*) FROM surname))::int AS surname,
        floor(power(random(), 2) * (SELECT count(*) FROM surname))::int AS other,
        floor(random() * (SELECT count(*) FROM given))::int AS g0,
        floor(random() * (SELECT count(*) FROM given))::int AS g1,
        floor(random() * (SELECT count(*) FROM given))::int AS g2,
        (3 + floor(random() * 4)::int) || 'e ' || (1 + floor(random() * 7)::int) AS class
        FROM generate_series(1, :pupils) n""",
    """INSERT INTO child (id, school_id, student_id, family_name, given_name, class_name, search_text)
        SELECT ('000000000000400080' || lpad(to_hex(f.n), 14, '0'))::uuid,
        ('000000000000400080' || lpad(to_hex(f.school), 14, '0'))::uuid, (700000 + f.n)::text, upper(s.s), initcap(g.s),
        f.class, (g.s || ' ' || s.s || ' ' || f.class || ' ' || replace(f.class, ' ', '') || ' ' || (700000 + f.n)
        )::tsvector
        FROM family f JOIN surname s ON s.n = f.surname JOIN given g ON g.n = f.g0 ORDER BY f.n""",
    """INSERT INTO account (id, username, profile, civility, family_name, given_name, birth_name, search_text,
        address_lines, postcode, city, country, locale, more_claims, generation, created_at, updated_at)
        SELECT ('0000000000004000' || 8 + p.p || '0' || lpad(to_hex(f.n), 14, '0'))::uuid,
        left(g.s, 1) || '.' || s.s || p.p || f.n, 'GUARDIAN', 'Mme', upper(s.s), initcap(g.s), '',
        (g.s || ' ' || s.s || ' ' || left(g.s, 1) || ' ' || s.s || p.p || f.n || ' ' || left(g.s, 1) || s.s || p.p
        || f.n)::tsvector, '[]', '', '', '', 'fr-FR', '{}', 0, now(), now()
        FROM family f CROSS JOIN generate_series(0, 1) p(p)
        JOIN surname s ON s.n = CASE p.p WHEN 0 THEN f.surname ELSE f.other END
        JOIN given g ON g.n = CASE p.p WHEN 0 THEN f.g1 ELSE f.g2 END ORDER BY f.n""",
    """INSERT INTO guardianship (account_id, child_id, rank, kinship, authority)
        SELECT ('0000000000004000' || 8 + p.p || '0' || lpad(to_hex(f.n), 14, '0'))::uuid,
        ('000000000000400080' || lpad(to_hex(f.n), 14, '0'))::uuid, 0, '', 1
        FROM family f CROSS JOIN generate_series(0, 1) p(p) ORDER BY f.n""",
)


def fill(connection: Connection, pupils: int, schools: int) -> None:
    """Insert pupils with two guardians each, spread over the schools, and refresh the statistics."""
    values = {"syllables": _SYLLABLES, "given": _GIVEN, "schools": schools, "pupils": pupils}
    for statement in _STATEMENTS:
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement).bindparams(**used))
    connection.commit()
    connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
