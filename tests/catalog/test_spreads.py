"""The table of spreads: what is read is checked, and the closest evidence wins."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import pytest

from roofline.catalog import spreads
from roofline.catalog.spreads import COLUMNS, Entry, closest
from roofline.catalog.store import Catalog
from roofline.errors import SpecError
from roofline.machine import Chip
from roofline.machine.chip import Calibration
from roofline.machine.evidence import FIGURES, Spread
from roofline.studies.measured.rows import CLASSES

HEAD = ",".join(COLUMNS) + "\n"
ROW = "measured,vllm,gpu,h100-sxm,decode,32,6,0.2,0.6,1.9\n"
CHIP_PLACE = ("vllm", "gpu", "h100-sxm")
PLACES = (CHIP_PLACE, ("vllm", "gpu", ""), ("", "gpu", ""), ("", "", ""))  # the closest first
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / spreads.FILE
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.fixture
def chip(catalog: Catalog) -> Chip:
    return catalog.chip("h100-sxm")


def known(evidence: str, place: tuple[str, str, str], high: float, figure: str = "decode") -> Entry:
    return Entry(evidence, *place, figure, Spread(low=0.5, high=high, cases=20, groups=5, median_error=0.1))


def found(entries: list[Entry], evidence: Calibration, chip: Chip, stack: str = "vllm") -> dict[str, float]:
    return {figure: spread.high for figure, spread in closest(entries, evidence, stack, chip).items()}


# -- reading


def test_a_table_is_read_as_it_is_written(write: Write) -> None:
    path = write(HEAD + ROW + "datasheet,,,,matmul,1468,42,0.669,1.08,1.64e+03\n")
    assert spreads.read(path) == [
        Entry(
            "measured", "vllm", "gpu", "h100-sxm", "decode",
            Spread(low=0.6, high=1.9, cases=32, groups=6, median_error=0.2),
        ),
        Entry("datasheet", "", "", "", "matmul", Spread(low=1.08, high=1640.0, cases=1468, groups=42, median_error=0.669)),
    ]  # fmt: skip


def test_columns_may_stand_in_any_order_among_others(write: Write) -> None:
    path = write(
        "note,high,low,median_error,groups,cases,figure,chip,kind,stack,evidence\n,2,0.5,0.1,4,12,offline,,,,transferred\n"
    )
    assert spreads.read(path) == [
        Entry("transferred", "", "", "", "offline", Spread(low=0.5, high=2.0, cases=12, groups=4, median_error=0.1))
    ]


@pytest.mark.parametrize("column", COLUMNS)
def test_every_missing_column_is_told(write: Write, column: str) -> None:
    path = write(",".join(name for name in COLUMNS if name != column) + "\n")
    with pytest.raises(SpecError) as error:
        spreads.read(path)
    assert str(error.value) == f"{path}:1:1: {column}: missing column"


def test_all_missing_columns_are_told_at_once(write: Write) -> None:
    with pytest.raises(SpecError) as error:
        spreads.read(write(""))
    assert [finding.key for finding in error.value.findings] == list(COLUMNS)


@pytest.mark.parametrize(
    "row",
    [
        "measured,vllm,gpu,h100-sxm,decode,many,6,0.2,0.6,1.9",
        "measured,vllm,gpu,h100-sxm,decode,32.5,6,0.2,0.6,1.9",
        "measured,vllm,gpu,h100-sxm,decode,32,6,0.2,,1.9",
        "measured,vllm,gpu,h100-sxm,decode,32,6,0.2,0.6",
        "measured,vllm,gpu,h100-sxm,decode,32,6,0.2,nan,1.9",
        "measured,vllm,gpu,h100-sxm,decode,32,6,0.2,0.6,inf",
        "measured,vllm,gpu,h100-sxm,decode,32,6,nan,0.6,1.9",
    ],
)
def test_a_bad_number_is_told_with_its_line(write: Write, row: str) -> None:
    path = write(HEAD + ROW + row + "\n")
    with pytest.raises(SpecError) as error:
        spreads.read(path)
    assert str(error.value) == f"{path}:3: cases, groups, median_error, low and high must be numbers"


@pytest.mark.parametrize(("low", "high"), [("0", "1.9"), ("-0.5", "1.9"), ("2", "1.9")])
def test_a_spread_that_is_no_interval_of_times_is_told(write: Write, low: str, high: str) -> None:
    path = write(HEAD + f"measured,vllm,gpu,h100-sxm,decode,32,6,0.2,{low},{high}\n")
    with pytest.raises(SpecError) as error:
        spreads.read(path)
    assert str(error.value) == f"{path}:2: low must be above 0 and not above high"


def test_what_can_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(HEAD.encode() + b"\xff\n")
    for path, message in (
        (tmp_path / "none.csv", "can't be read"),
        (tmp_path, "can't be read"),
        (tmp_path / "latin.csv", "is not UTF-8 text"),
    ):
        with pytest.raises(SpecError, match=message):
            spreads.read(path)


# -- the closest


@pytest.mark.parametrize("first", range(4))
def test_closer_places_come_first_in_whatever_order_they_stand(chip: Chip, first: int) -> None:
    rows = [known("measured", place, 2.0 + index) for index, place in enumerate(PLACES) if index >= first]
    for entries in permutations(rows):
        assert found(list(entries), "measured", chip) == {"decode": 2.0 + first}


def test_figures_come_each_from_its_own_place(chip: Chip) -> None:
    entries = [
        known("measured", PLACES[3], 9.0),
        known("measured", PLACES[3], 8.0, "prefill"),
        known("measured", CHIP_PLACE, 2.0),
    ]
    assert found(entries, "measured", chip) == {"decode": 2.0, "prefill": 8.0}


@pytest.mark.parametrize("other", [("sglang", "gpu", "h100-sxm"), ("vllm", "gpu", "a100-sxm-80gb"), ("vllm", "tpu", ""),
                                   ("", "tpu", ""), ("sglang", "gpu", "")])  # fmt: skip
def test_what_was_measured_elsewhere_says_nothing(chip: Chip, other: tuple[str, str, str]) -> None:
    assert found([known("measured", other, 2.0)], "measured", chip) == {}


def test_chips_left_out_stand_in_for_what_was_not_measured_at_the_same_place(chip: Chip) -> None:
    stack_of_kind, kind = PLACES[1:3]
    assert found([known("transferred", stack_of_kind, 3.0)], "measured", chip) == {"decode": 3.0}
    assert found(
        [known("transferred", stack_of_kind, 3.0), known("measured", stack_of_kind, 2.0)], "measured", chip
    ) == {"decode": 2.0}
    assert found([known("transferred", stack_of_kind, 3.0), known("measured", kind, 2.0)], "measured", chip) == {
        "decode": 3.0
    }
    assert found([known("transferred", kind, 3.0), known("measured", CHIP_PLACE, 2.0)], "measured", chip) == {
        "decode": 2.0
    }


@pytest.mark.parametrize(
    ("evidence", "other"),
    [("transferred", "measured"), ("transferred", "datasheet"), ("datasheet", "measured"), ("datasheet", "transferred"),
     ("measured", "datasheet")],
)  # fmt: skip
def test_nothing_else_stands_in_for_weaker_evidence(chip: Chip, evidence: Calibration, other: str) -> None:
    assert found([known(other, place, 2.0) for place in PLACES], evidence, chip) == {}


def test_a_chip_that_was_not_measured_has_no_place_of_its_own(chip: Chip) -> None:
    assert found([known("transferred", CHIP_PLACE, 2.0)], "transferred", chip) == {}
    assert found([known("transferred", CHIP_PLACE, 2.0)], "measured", chip) == {"decode": 2.0}


def test_a_datasheet_knows_no_stack(chip: Chip) -> None:
    of_stacks, of_all = [known("datasheet", place, 2.0) for place in PLACES[:2]], PLACES[2:]
    assert found(of_stacks, "datasheet", chip) == {}
    for index, place in enumerate(of_all):
        rows = [known("datasheet", other, 5.0 + at) for at, other in enumerate(of_all) if at >= index]
        assert found([*of_stacks, *rows], "datasheet", chip) == {"decode": 5.0 + of_all.index(place)}


# -- in the catalogue


def test_a_folder_of_ones_own_comes_before_what_ships(write: Write, catalog: Catalog, tmp_path: Path) -> None:
    chip = catalog.chip("h100-sxm")
    stack = catalog.stack("vllm", chip)
    kinds = ("measured", "transferred")
    write(HEAD + "".join(f"{kind},{','.join(place)},decode,50,9,0.2,0.7,7.5\n" for kind in kinds for place in PLACES))
    own, shipped = Catalog((tmp_path,)).spreads(chip, stack), catalog.spreads(chip, stack)
    assert (own["decode"].low, own["decode"].high) == (0.7, 7.5)
    assert {name: spread for name, spread in own.items() if name != "decode"} == {
        name: spread for name, spread in shipped.items() if name != "decode"
    }


def test_the_shipped_table_is_sound(catalog: Catalog) -> None:
    entries = catalog.spread_entries()
    places = [(entry.evidence, entry.stack, entry.kind, entry.chip, entry.figure) for entry in entries]
    assert len(set(places)) == len(places)
    for entry in entries:
        assert entry.figure in {*FIGURES, *CLASSES.values()}
        assert not entry.stack or catalog.stack(entry.stack).id == entry.stack
        assert not entry.chip or catalog.chip(entry.chip).kind == entry.kind
        assert 0 < entry.spread.groups <= entry.spread.cases
