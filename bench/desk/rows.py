"""Fills a PostgreSQL database with an académie by SQL: pupils with two guardians each, staff, a year's journal."""

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
_FAMILIES = (
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
        FROM family f JOIN surname s ON s.n = f.surname JOIN given g ON g.n = f.g0 ORDER BY f.school, f.n""",
    """INSERT INTO account (id, username, civility, family_name, given_name, birth_name, search_text,
        address_lines, postcode, city, country, locale, more_claims, is_from_desk, has_left, generation,
        password_state, created_at, updated_at, known_use_at, tries_counted_since, activated_at, email,
        mailbox, pending_email, provisional_hash, provisional_expires_at)
        SELECT ('0000000000004000' || 8 + p.p || '0' || lpad(to_hex(f.n), 14, '0'))::uuid,
        left(g.s, 1) || '.' || s.s || p.p || f.n, 'Mme', upper(s.s), initcap(g.s), '',
        (g.s || ' ' || s.s || ' ' || left(g.s, 1) || ' ' || s.s || p.p || f.n || ' ' || left(g.s, 1) || s.s || p.p
        || f.n)::tsvector, '[]', '', '', '', 'fr-FR', '{}', false, false, 0, 'USABLE', now(), now(), now(), now(),
        CASE WHEN d.d < 65 THEN now() - abs(hashint4(f.n)) % 100 * interval '1 day' END,
        CASE WHEN d.d < 60 THEN 'p' || p.p || f.n || '@exemple.fr' END,
        CASE WHEN d.d < 60 THEN 'p' || p.p || f.n || '@exemple.fr' END,
        CASE WHEN d.d >= 60 AND d.d < 65 THEN 'p' || p.p || f.n || '@exemple.fr' END,
        CASE WHEN d.d >= 65 AND d.d < 85 THEN 'x' END,
        CASE WHEN d.d >= 65 AND d.d < 90 THEN now() + (80 - d.d) * interval '1 day' END
        FROM family f CROSS JOIN generate_series(0, 1) p(p)
        CROSS JOIN LATERAL (SELECT abs(hashint4(2 * f.n + p.p)) % 100) d(d)
        JOIN surname s ON s.n = CASE p.p WHEN 0 THEN f.surname ELSE f.other END
        JOIN given g ON g.n = CASE p.p WHEN 0 THEN f.g1 ELSE f.g2 END ORDER BY f.school, f.n""",
    """INSERT INTO guardianship (account_id, child_id, rank, kinship, authority)
        SELECT ('0000000000004000' || 8 + p.p || '0' || lpad(to_hex(f.n), 14, '0'))::uuid,
        ('000000000000400080' || lpad(to_hex(f.n), 14, '0'))::uuid, 0, '', 1
        FROM family f CROSS JOIN generate_series(0, 1) p(p) ORDER BY f.school, f.n""",
)

_JOURNAL = (
    """INSERT INTO staff_account (id, name, email, mailbox, generation, created_at, enrolled_at)
        SELECT ('000000000000400090' || lpad(to_hex(i), 14, '0'))::uuid, initcap(g.s || ' ' || s.s),
        's' || i || '@bureau.test', 's' || i || '@bureau.test', 0, now(), now()
        FROM generate_series(1, :schools) i(i) JOIN surname s ON s.n = i JOIN given g ON g.n = i % 60""",
    """INSERT INTO staff_role (id, staff_id, role, school_id, granted_at, valid_until)
        SELECT a.id, a.id, 'secretary', s.id, now(), now() + interval '1 year'
        FROM staff_account a JOIN school s ON right(s.id::text, 12) = right(a.id::text, 12)""",
    # of a hundred entries seventy are of families, twenty of the desk, two of commands; an act of the académie is rare
    """INSERT INTO audit (at, kind, result, account_id, client_id, staff_id, school_id, actor, ip, request_id, details)
        SELECT now() - (:entries - n) * (interval '300 days' / :entries), k.kind,
        CASE WHEN k.h >= 60 AND k.h < 70 THEN 'refused' ELSE 'ok' END,
        CASE WHEN k.kind <> 'client.changed' AND (k.h < 65 OR k.h >= 70 AND k.h < 93)
        THEN ('000000000000400080' || lpad(to_hex(1 + n % :pupils), 14, '0'))::uuid END,
        CASE WHEN k.h < 40 THEN '00000000-0000-4000-a000-000000000001'::uuid END,
        CASE WHEN k.h >= 78 AND k.h < 98 THEN ('000000000000400090' || lpad(to_hex(k.s), 14, '0'))::uuid END,
        CASE WHEN k.h >= 78 AND k.h < 98 THEN ('000000000000400080' || lpad(to_hex(k.s), 14, '0'))::uuid END,
        CASE WHEN k.h >= 98 THEN 'uid 0 (root)' WHEN k.h >= 78 THEN 'desk secretary' ELSE '' END, '192.0.2.7',
        'ABCD-EFGH', '{}'
        FROM (SELECT n, n * 37 % 100 AS h, 1 + n / 100 % :schools AS s, CASE
            WHEN n % 100000 = 7 THEN 'client.changed' WHEN n * 37 % 100 < 40 THEN 'code.issued'
            WHEN n * 37 % 100 < 70 THEN 'sign_in' WHEN n * 37 % 100 < 74 THEN 'sign_out'
            WHEN n * 37 % 100 < 78 THEN 'charter.accepted' WHEN n * 37 % 100 < 93 THEN 'account.read'
            WHEN n * 37 % 100 < 98 THEN 'desk.searched' ELSE 'letter.drawn' END AS kind
            FROM generate_series(1, :entries) n) k""",
)


def fill(connection: Connection, pupils: int, schools: int, entries: int = 0) -> None:
    """Insert pupils with two guardians each, school by school as their files are imported; refresh the statistics.

    With `entries`, insert a secretary for each school too, and that many entries of the journal, over ten months.
    """
    values = {"syllables": _SYLLABLES, "given": _GIVEN, "schools": schools, "pupils": pupils, "entries": entries}
    for statement in (*_FAMILIES, *(_JOURNAL if entries else ())):
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        connection.execute(text(statement).bindparams(**used))
    connection.commit()
    connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
