"""XML files of AAF and SIECLE in memory."""

from collections.abc import Mapping
from xml.sax.saxutils import escape, quoteattr

Values = Mapping[str, str | list[str]]

PARENT: Values = {
    "ENTPersonJointure": "9100001",
    "ENTPersonDateNaissance": "",
    "ENTPersonNomPatro": "VANDEPUTTE",
    "sn": "LEROY-VANDEPUTTE",
    "givenName": "Noémie",
    "personalTitle": "MME",
    "mobile": ["0600000001", "0600000002"],
    "mail": "noemie@rivebelle.test",
    "ENTPersonAdresse": "1 rue du Test$ Bât. B$$",
    "ENTPersonCodePostal": "59990",
    "ENTPersonVille": "RIVEBELLE",
    "ENTPersonPays": "FRANCE",
    "ENTPersonAdresseDiffusion": "N",
}
PUPIL: Values = {
    "ENTPersonJointure": "9200001",
    "ENTEleveINE": "000000000AA",
    "ENTEleveStructRattachId": "701001",
    "ENTPersonDateNaissance": "14/09/2013",
    "sn": "LEROY",
    "givenName": "Malo",
    "ENTElevePersRelEleve": ["9100001$10$1$1$1$0", "9100002$1$0$2$1$0"],
    "ENTPersonStructRattach": "52001",
    "ENTEleveClasses": ["52002$6EMEX", "52001$6EME1"],
    "ENTEleveStatutEleve": "SCOLAIRE",
}
SCHOOL: Values = {
    "ENTStructureJointure": "52001",
    "ENTStructureUAI": "0599001N",
    "ENTStructureNomCourant": "CLG-DES-RIVES",
    "ENTStructureTypeStruct": "COLLEGE",
    "street": "2 quai du Test",
    "postOfficeBox": "BP 12",
    "postalCode": "59990",
    "l": "RIVEBELLE",
    "telephoneNumber": "03 53 01 00 01",
}


def attributes(values: Values, tag: str = "attr", more: str = "") -> str:
    lines = []
    for name, value in values.items():
        texts = [value] if isinstance(value, str) else value
        inside = "".join(f"<value>{escape(text)}</value>" if text else "<value/>" for text in texts)
        lines.append(f"<{tag} name={quoteattr(name)}{more}>{inside}</{tag}>")
    return "\n".join(lines)


def request(tag: str, category: str, key: str, inside: str = "") -> str:
    kind = "categorieStructure" if category == "EtabEducNat" else "categoriePersonne"
    operational = attributes({kind: category}) if category else ""
    return (
        f"<{tag}>\n<operationalAttributes>{operational}</operationalAttributes>\n"
        f"<identifier><id>{key}</id></identifier>\n{inside}</{tag}>"
    )


def put(category: str, values: Values, key: str | None = None) -> str:
    own = values.get("ENTPersonJointure", values.get("ENTStructureJointure", ""))
    inside = f"<attributes>\n{attributes(values)}\n</attributes>\n"
    return request("addRequest", category, str(own) if key is None else key, inside)


def modify(category: str, key: str, values: Values) -> str:
    inside = attributes(values, "modification", ' operation="replace"')
    return request("modifyRequest", category, key, f"<modifications>{inside}</modifications>\n")


def delete(category: str, key: str) -> str:
    return request("deleteRequest", category, key)


def aaf(*requests: str, encoding: str = "UTF-8") -> bytes:
    head = f'<?xml version="1.0" encoding="{encoding}"?>\n<!DOCTYPE ficAlimMENESR SYSTEM "ficAlimMENESR.dtd">\n'
    text = "\n".join(["<ficAlimMENESR>", *requests, "</ficAlimMENESR>\n"])
    return (head + text).encode(encoding, "xmlcharrefreplace")


def fields(values: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in values.items())


def pupil(key: str, **more: str) -> str:
    values = {"NOM_DE_FAMILLE": "LEROY", "PRENOM": "Malo", "DATE_NAISS": "14/09/2013", **more}
    return f'<ELEVE ELEVE_ID="{key}" ELENOET="12">{fields(values)}</ELEVE>'


def placed(key: str, *structures: tuple[str, str]) -> str:
    inside = "".join(
        f"<STRUCTURE>{fields({'CODE_STRUCTURE': code, 'TYPE_STRUCTURE': kind})}</STRUCTURE>"
        for code, kind in structures
    )
    return f'<STRUCTURES_ELEVE ELEVE_ID="{key}">{inside}</STRUCTURES_ELEVE>'


def person(key: str, **more: str) -> str:
    values = {"NOM_DE_FAMILLE": "VANDEPUTTE", "PRENOM": "Noémie", "LC_CIVILITE": "MME", **more}
    return f'<PERSONNE PERSONNE_ID="{key}">{fields(values)}</PERSONNE>'


def responsible(pupil_key: str, person_key: str, **more: str) -> str:
    values = {"ELEVE_ID": pupil_key, "PERSONNE_ID": person_key, "CODE_PARENTE": "10", **more}
    return f"<RESPONSABLE_ELEVE>{fields(values)}</RESPONSABLE_ELEVE>"


def postal_address(key: str, **more: str) -> str:
    values = {"LIGNE1_ADRESSE": "1 rue du Test", "CODE_POSTAL": "59990", "LIBELLE_POSTAL": "RIVEBELLE", **more}
    return f'<ADRESSE ADRESSE_ID="{key}">{fields(values)}</ADRESSE>'


def siecle(root: str, *rows: str, uaj: str = "0599001N", encoding: str = "ISO-8859-15") -> bytes:
    head = f'<?xml version="1.0" encoding="{encoding}"?>\n<{root} VERSION="2.0">\n'
    parameters = f"<PARAMETRES><UAJ>{uaj}</UAJ><ANNEE_SCOLAIRE>2026</ANNEE_SCOLAIRE></PARAMETRES>\n<DONNEES>\n"
    return (head + parameters + "\n".join(rows) + f"\n</DONNEES>\n</{root}>\n").encode(encoding)
