"""The invented companies, people and ledgers behind the sample data. All names and addresses are made up."""

# ruff: noqa: RUF001 - letters as people write them

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class World:
    """One company with everything that its records are made of."""

    name: str
    country: str
    currency: str
    registration: str
    address: dict[str, str | None]
    domain: str
    system: str
    entries: int
    people: tuple[tuple[str, str, str | None], ...]
    """First name, last name, job title."""
    accounts: tuple[tuple[str | None, str], ...]
    """Code and name; the last one is archived."""
    tax_codes: tuple[tuple[str | None, str, float, str], ...]
    """Code, name, rate, type; the last one is archived."""
    tag_groups: tuple[tuple[str, str, bool, tuple[str, ...], tuple[str, ...]], ...]
    """Code, name, archived, dimension names, tag names."""
    vendors: tuple[tuple[str, str | None, str, str], ...]
    """Name, country (None: absent), currency, state."""
    notes: tuple[str, ...]


WORLDS = (
    World(
        name="Nordlys Design ApS",
        country="DK",
        currency="DKK",
        registration="39284417",
        address={"addressLine1": "Refshalevej 163A, 2.", "postalCode": "1432", "locality": "København K", "country": "DK"},
        domain="nordlys.example",
        system="e-conomic",
        entries=800,
        people=(
            ("Søren", "Ærø", "Creative director"),
            ("Freja", "Nørgaard", "Designer"),
            ("Mads", "Østergaard", "Developer"),
            ("Ida", "Kjær", "Bookkeeper"),
            ("Rasmus", "Bjerregård", "Project manager"),
            ("Astrid", "Møller", None),
            ("Jørgen", "Ågaard Holm", "Sales"),
            ("Signe", "Lindqvist", "Student assistant"),
        ),
        accounts=(
            ("2750", "Repræsentation"),
            ("2770", "Rejseudgifter"),
            ("2780", "Hotel og ophold"),
            ("2800", "Annoncer og reklame"),
            ("3600", "Kontorartikler"),
            ("3604", "Software og licenser"),
            ("3617", "Telefon og internet"),
            ("3620", "Småanskaffelser"),
            ("3640", "Faglitteratur og kurser"),
            ("3660", "Gebyrer"),
            ("4410", "Kørsel i egen bil"),
            (None, "Uafklaret"),
            ("2751", "Repræsentation (gammel)"),
        ),
        tax_codes=(
            ("I25", "Købsmoms 25 %", 0.25, "inclusive"),
            ("REP", "Repræsentation 6,25 %", 0.0625, "inclusive"),
            ("IY25", "Ydelseskøb udland, omvendt betalingspligt", 0.25, "reverse"),
            ("U00", "Momsfri", 0, "inclusive"),
            ("I25G", "Købsmoms 25 % (gammel)", 0.25, "inclusive"),
        ),
        tag_groups=(
            (
                "PROJECT",
                "Projekt",
                False,
                ("Kunde", "Ansvarlig"),
                ("Havnebadet", "Kvist & Co. rebrand", "Ny webshop", "Messe Bella 2026", "Årsrapport 2025"),
            ),
            ("COST", "Omkostningssted", False, (), ("Studie", "Salg", "Administration", "Øvrige")),
            ("EVENT24", "Arrangementer 2024", True, (), ("Sommerfest", "Julefrokost 🎄")),
        ),
        vendors=(
            ("Papirhuset A/S", "DK", "DKK", "ACTIVE"),
            ("Grønne Taxaer", "DK", "DKK", "ACTIVE"),
            ("Skybox Hosting Ltd", "GB", "GBP", "ACTIVE"),
            ("Kaffebrænderiet Ø", "DK", "DKK", "DRAFT"),
            ("Rejsebureau Tange", None, "DKK", "ACTIVE"),
            ("Print & Plakat I/S", "DK", "DKK", "ARCHIVED"),
        ),
        notes=(
            "Frokost med Kvist & Co. 🍽️",
            "Taxa til lufthavnen",
            "Skrifttyper, 3 licenser",
            "Tog København–Aarhus t/r",
            "Kaffe til kontoret ☕",
            "Mødeforplejning:\n- 4 x smørrebrød\n- 4 x vand",
            'Bog: "Typografisk håndbog"',
            "Parkering\tHavnegade",
        ),
    ),
    World(
        name="Falkenried Maschinenbau GmbH",
        country="DE",
        currency="EUR",
        registration="HRB 118427",
        address={
            "addressLine1": "Lagerstraße 34c",
            "addressLine2": "Haus B",
            "postalCode": "20357",
            "locality": "Hamburg",
            "region": "Hamburg",
            "country": "DE",
        },
        domain="falkenried.example",
        system="DATEV",
        entries=550,
        people=(
            ("Jürgen", "Großmann", "Geschäftsführer"),
            ("Käthe", "Müller-Lüdenscheidt", "Buchhaltung"),
            ("Björn", "Weiß", "Servicetechniker"),
            ("Ayşe", "Yıldız", "Vertrieb"),
            ("Lukas", "Schäfer", "Konstruktion"),
            ("Annegret", "Voß", None),
            ("Matthias", "Köhler", "Einkauf"),
        ),
        accounts=(
            ("6640", "Bewirtungskosten"),
            ("6650", "Reisekosten Arbeitnehmer"),
            ("6660", "Übernachtungsaufwand"),
            ("6600", "Werbekosten"),
            ("6815", "Bürobedarf"),
            ("6837", "Aufwendungen für Lizenzen"),
            ("6805", "Telefon"),
            ("6530", "Laufende Kfz-Betriebskosten"),
            ("6845", "Werkzeuge und Kleingeräte"),
            ("6855", "Nebenkosten des Geldverkehrs"),
            (None, "Klärungskonto"),
            ("6641", "Bewirtungskosten (alt)"),
        ),
        tax_codes=(
            ("VSt19", "Vorsteuer 19 %", 0.19, "inclusive"),
            ("VSt7", "Vorsteuer 7 %", 0.07, "inclusive"),
            ("13b19", "§ 13b UStG Reverse Charge 19 %", 0.19, "reverse"),
            ("0", "Steuerfrei", 0, "inclusive"),
            ("VSt16", "Vorsteuer 16 % (2020)", 0.16, "inclusive"),
        ),
        tag_groups=(
            ("KST", "Kostenstelle", False, (), ("Werk Nord", "Außendienst", "Verwaltung", "Entwicklung", "Lager")),
            (
                "AUFTRAG",
                "Auftrag",
                False,
                ("Kunde", "Auftragsnummer", "Laufzeit"),
                ("Presse 4000", "Förderband Süd", "Wartung 2026", "Prüfstand"),
            ),
        ),
        vendors=(
            ("Schrauben Kühn KG", "DE", "EUR", "ACTIVE"),
            ("Nordbahn Reisen GmbH", "DE", "EUR", "ACTIVE"),
            ("Werkzeug Ötting e. K.", "DE", "EUR", "ACTIVE"),
            ("Tōkai Bearings K.K.", "JP", "JPY", "ACTIVE"),
            ("Sammellieferant", "UNDEFINED", "EUR", "ACTIVE"),
            ("Messebau Grüner", "DE", "EUR", "ARCHIVED"),
        ),
        notes=(
            "Bewirtung Fa. Kühn, 3 Personen",
            "Bahn HH–München, Großkundentermin",
            "Ersatzteile für Prüfstand 🔧",
            "Tanken Dienstwagen HH-FM 204",
            "Übernachtung Stuttgart\n2 Nächte, inkl. Frühstück",
            "CAD-Lizenz (monatlich)",
            "Fachbuch „Getriebelehre“",
            "Büromaterial & Toner",
        ),
    ),
    World(
        name="Björkhaga Konsult AB",
        country="SE",
        currency="SEK",
        registration="559182-4471",
        address={
            "addressLine1": "Södra Hamngatan 12",
            "addressLine2": None,
            "postalCode": "411 14",
            "locality": "Göteborg",
            "country": "SE",
        },
        domain="bjorkhaga.example",
        system="Fortnox",
        entries=400,
        people=(
            ("Åsa", "Sjöberg", "VD"),
            ("Göran", "Ljungström", "Konsult"),
            ("Malin", "Hägg", "Ekonomiansvarig"),
            ("Nils", "Öberg", "Konsult"),
            ("Zara", "Haddad", "Konsult"),
            ("Elsa", "Nyström", None),
        ),
        accounts=(
            ("6071", "Representation, avdragsgill"),
            ("5800", "Resekostnader"),
            ("5831", "Kost och logi i Sverige"),
            ("5910", "Annonsering"),
            ("6110", "Kontorsmateriel"),
            ("5420", "Programvaror"),
            ("6211", "Telekommunikation"),
            ("5410", "Förbrukningsinventarier"),
            ("6570", "Bankkostnader"),
            ("7331", "Bilersättningar, skattefria"),
            ("6072", "Representation (gammalt konto)"),
        ),
        tax_codes=(
            ("25", "Ingående moms 25 %", 0.25, "inclusive"),
            ("12", "Ingående moms 12 %", 0.12, "inclusive"),
            ("06", "Ingående moms 6 %", 0.06, "inclusive"),
            ("RC25", "Omvänd skattskyldighet 25 %", 0.25, "reverse"),
            (None, "Momsfritt", 0, "inclusive"),
        ),
        tag_groups=(
            ("KUND", "Kund", False, ("Kundnummer",), ("Hamnbolaget", "Region Väst", "Skärgårdstrafiken", "Intern tid")),
            ("KS", "Kostnadsställe", False, (), ("Göteborg", "Malmö", "Umeå")),
            ("FLEET", "Bilar", False, (), ()),
        ),
        vendors=(
            ("Västkustens Kontor AB", "SE", "SEK", "ACTIVE"),
            ("Tågresor Sverige", "SE", "SEK", "ACTIVE"),
            ("Molnet Hosting Oy", "FI", "EUR", "ACTIVE"),
            ("Fika & Bröd HB", "SE", "SEK", "DRAFT"),
            ("Okänd leverantör", "SE", "UNDEFINED", "DRAFT"),
        ),
        notes=(
            "Fika med Hamnbolaget 🥐",
            "Tåg Göteborg–Malmö tur och retur",
            "Hotell Umeå, två nätter",
            "Programvara: årsavgift",
            "Parkering Nordstan",
            "Kurs i förändringsledning\nFaktura kommer separat",
            "Mobilabonnemang, oktober",
        ),
    ),
    World(
        name="Atelier Clairmont SARL",
        country="FR",
        currency="EUR",
        registration="RCS Lyon 882 114 903",
        address={
            "addressLine1": "17 bis, rue de l’Arbre-Sec",
            "postalCode": "69001",
            "locality": "Lyon",
            "region": "Auvergne-Rhône-Alpes",
            "country": "FR",
        },
        domain="clairmont.example",
        system="Pennylane",
        entries=250,
        people=(
            ("Élodie", "Lefèvre", "Gérante"),
            ("François", "D’Aubigné", "Architecte"),
            ("Noël", "Garçon", "Chef d’atelier"),
            ("Anaïs", "Bœuf", "Comptable"),
            ("Hervé", "Le Goff", None),
        ),
        accounts=(
            ("625700", "Réceptions"),
            ("625100", "Voyages et déplacements"),
            ("625600", "Missions"),
            ("623100", "Annonces et insertions"),
            ("606400", "Fournitures administratives"),
            ("651100", "Redevances pour logiciels"),
            ("626000", "Frais postaux et télécommunications"),
            ("606300", "Petit équipement"),
            ("627000", "Services bancaires"),
            ("625710", "Réceptions (ancien)"),
        ),
        tax_codes=(
            ("TVA20", "TVA déductible 20 %", 0.2, "inclusive"),
            ("TVA10", "TVA déductible 10 %", 0.1, "inclusive"),
            ("TVA55", "TVA déductible 5,5 %", 0.055, "inclusive"),
            ("AL20", "Autoliquidation 20 %", 0.2, "reverse"),
            ("TVA21", "TVA 2,1 % (presse)", 0.021, "inclusive"),
        ),
        tag_groups=(
            ("CHANTIER", "Chantier", False, ("Maître d’ouvrage", "Code postal"), ("Halle Tony", "École Ampère", "Presqu’île – rénovation")),
            ("SECTION", "Section analytique", False, (), ("Atelier", "Études", "Siège")),
            ("VIEUX", "Anciens projets", True, (), ("Gare 2023",)),
        ),
        vendors=(
            ("Papeterie Gaël & Fils", "FR", "EUR", "ACTIVE"),
            ("Chemins du Rhône Voyages", "FR", "EUR", "ACTIVE"),
            ("Bois et Métal SAS", "FR", "EUR", "ACTIVE"),
            ("Gulf Stone W.L.L.", "KW", "KWD", "ACTIVE"),
        ),
        notes=(
            "Déjeuner client, école Ampère",
            "Train Lyon–Paris aller-retour 🚄",
            "Fournitures : papier calque, mines",
            "Hôtel à Marseille\n(1 nuit, petit-déjeuner compris)",
            "Logiciel de dessin, abonnement",
            "Péage A7",
            "Échantillons de pierre – Koweït",
        ),
    ),
)
