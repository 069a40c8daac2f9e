"""National formats: the table is complete and right, a bad one is refused with file and line."""

import pytest

from services.contracts.formats import BadFormats, choose, country, names, parse, shipped


def test_the_table_holds_forty_formats_or_more_of_the_countries_promised() -> None:
    assert len(shipped()) >= 40
    countries = {one.country for one in shipped()}
    assert {"RU", "UA", "BY", "KZ", "GB", "NO", "CH", "TR", "US", "BR", "CL", "EC", "AR", "MX", "IN", "CN"} <= countries


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("K123MX77", "ru-private"),
        ("K123MX777", "ru-private"),
        ("AB12377", "ru-taxi-bus"),
        ("AB123477", "ru-trailer"),
        ("K123477", "ru-police"),
        ("1234AB77", "ru-military"),
        ("012D12377", "ru-diplomatic"),
        ("AB123K77", "ru-transit"),
        ("1234AB77", "ru-motorcycle"),
        ("AB1234CE", "ua-private"),
        ("1234AB7", "by-private"),
        ("123ABC02", "kz-private"),
        ("AB12CDE", "gb-current"),
        ("ABC1D23", "br-mercosul"),
        ("BCDF12", "cl-new"),
        ("34ABC123", "tr-private"),
        ("MH12AB1234", "in-private"),
        ("DL3CAB1234", "in-delhi"),
        ("23BH1234AB", "in-bharat"),
        ("E123AB7", "by-electric"),
        ("A1234B7", "by-trailer"),
        ("W12345A", "at-city-one"),
        ("FK1ABC", "at-district-three"),
        ("123ABC", "be-2008"),
        ("QABC123", "be-index"),
        ("ZG1234AB", "hr-private"),
        ("1AAA123", "cz-three-letters"),
        ("EL012AB", "cz-electric"),
        ("AB1234", "dk-private"),
        ("BAB123E", "de-private"),
        ("BAB1234H", "de-private"),
        ("ABE12", "gr-private"),
        ("12D1234", "ie-private"),
        ("131CE12", "ie-two-letters"),
        ("AB12345", "it-motorcycle"),
        ("AB123", "lt-trailer"),
        ("BD12FG", "nl-sidecode-4"),
        ("BDFG12", "nl-sidecode-5"),
        ("12BDF3", "nl-sidecode-7"),
        ("BDF12G", "nl-sidecode-11"),
        ("WA123AC", "pl-two-letters"),
        ("WA1A234", "pl-digit-letter"),
        ("WA1AC23", "pl-digit-letters"),
        ("WABA123", "pl-county-letter"),
        ("WAB12AC", "pl-county-end"),
        ("WAB1A23", "pl-county-second"),
        ("WAB12A3", "pl-county-third"),
        ("WAB1AC2", "pl-county-middle"),
        ("WABAC12", "pl-county-letters"),
        ("12AB34", "pt-2005"),
        ("LJA1234", "si-one-letter"),
        ("LJ12ABC", "si-digits-first"),
        ("ABZ1234", "gb-northern-ireland"),
        ("AIB1234", "gb-northern-ireland-i"),
        ("GA12345", "no-private"),
        ("BW1234", "no-private"),
        ("34A12345", "tr-one-letter"),
        ("34AB1234", "tr-two-letters"),
        ("BCD12", "cl-motorcycle"),
        ("A123BCD", "ar-motorcycle"),
        ("A12BCD", "mx-city"),
        ("123ABC", "us-three-digits"),
    ],
)
def test_a_made_up_plate_is_of_its_format(text: str, name: str) -> None:
    assert name in names(text, shipped())


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("AB1234CD", "AT"),
        ("34AB12", "TR"),
        ("34ABC1234", "TR"),
        ("1G12345", "CZ"),
        ("AB1234OX", "BG"),
        ("ZX123AB", "HR"),
        ("12OBC34", "FR"),
        ("12A1234", "IE"),
        ("133D123", "IE"),
        ("13O555", "IE"),  # no county has that letter alone
        *(("BAB012", where) for where in ("DE", "FI")),  # a number there does not begin with 0
        *(("AB01234", where) for where in ("CH", "DK", "NO")),
        ("AB0123", "LV"),
        ("A012BCD", "GB"),
        ("12D0123", "IE"),
        ("W01234B", "AT"),
        ("QBC123", "LT"),
        ("AI1234", "LU"),
        ("1ABC23", "NL"),
        ("WA1234B", "PL"),
        ("AB12OCD", "RO"),
        ("AB12CDQ", "RO"),
        ("AZ12BCD", "GB"),
        ("A123BCZ", "GB"),
        ("O123BCD", "GB"),
        ("ABC123U", "GB"),
        ("AM12345", "NO"),
        ("34ABW12", "TR"),
        ("ABO123D", "MX"),
        ("MH12AI1234", "IN"),
    ],
)
def test_no_format_of_a_country_has_what_its_plates_have_not(text: str, where: str) -> None:
    assert names(text, choose(shipped(), where)) == ()


def test_a_general_format_names_only_what_no_other_does() -> None:
    assert "us-general" not in names("ABC1234", shipped())
    assert names("1A2B3C", shipped()) == ("us-general",)


def test_the_letter_x_among_others_makes_no_general_format() -> None:
    one, any_of_them = parse(
        "- {name: a, country: A, pattern: '[XY]DD'}\n- {name: b, country: B, pattern: XDD}", "mine.yaml"
    )
    assert names("X12", (one, any_of_them)) == ("a",)
    assert names("Z12", (one, any_of_them)) == ("b",)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("K123MX77", "RU"),
        ("34ABC123", "TR"),
        ("12D123", "IE"),
        ("AB123CD", ""),
        ("1A2B3C", ""),
        ("K#23MX77", ""),
    ],
    ids=["two formats of one country", "another country", "an old year", "several", "a general one", "undecided"],
)
def test_a_plate_has_a_country_where_all_of_its_formats_are_of_one(text: str, where: str) -> None:
    assert country(names(text, shipped()), shipped()) == where


def test_formats_are_chosen_by_country_union_and_name() -> None:
    assert {one.country for one in choose(shipped(), "ru, ua")} == {"RU", "UA"}
    assert {"DE", "FR"} <= {one.country for one in choose(shipped(), "eu")}
    assert [one.name for one in choose(shipped(), "ru-police")] == ["ru-police"]
    assert choose(shipped(), "") == shipped()
    assert choose(shipped(), "none") == ()


def test_an_unknown_country_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadFormats, match="called atlantis; countries: ar, at"):
        choose(shipped(), "ru,atlantis")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{name: a, country: B}", "pattern is missing"),
        ("{name: a, country: B, pattern: LQ}", "LQ may hold"),
        ("{name: a, country: B, pattern: L, alphabet: a1}", "alphabet may hold"),
        ("{name: a, country: B, pattern: L, rows: 3}", "rows must be 1 or 2"),
        ("{name: a, country: B, pattern: L, alike: 8}", "alike must be pairs"),
        ("{name: a, country: B, pattern: L, colour: red}", "no field colour"),
        ("{name: first, country: B, pattern: L}", "taken by an earlier row"),
        ("just words", "a row must be"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(row: str, words: str) -> None:
    with pytest.raises(BadFormats, match=words) as caught:
        parse(f"# a comment\n- {{name: first, country: A, pattern: DD}}\n- {row}\n", "mine.yaml")
    assert "mine.yaml:3:" in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "a: b", ""])
def test_a_table_that_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(BadFormats, match=r"mine\.yaml"):
        parse(text, "mine.yaml")
