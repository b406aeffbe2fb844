"""`roofline.toml`: every fault at once with its line and what to write instead; patterns, paths, tolerances."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import roofline as rl
from roofline.studies.check import config
from roofline.studies.new import template

ROOT = Path(__file__).resolve().parents[3]
Project = Callable[..., Path]
ONE = '[[predictions]]\nworkloads = ["llama-3.1-8b-chat"]\ndeployments = ["h100-sxm"]\n'


def faults(path: Path) -> list[str]:
    with pytest.raises(rl.RooflineError) as error:
        rl.check(path, update=True)
    assert error.value.exit_code == 2
    assert not (path.parent / "roofline.baseline").exists()
    return [line.removeprefix(f"{path}:") for line in str(error.value).splitlines()]


def test_every_fault_of_the_format_at_once(project: Project) -> None:
    text = """\
basline = "x"
[tolerances]
tpot_s = -1
ttft_s = "much"
[[predictions]]
workloads = "llama-3.1-8b-chat"
deployments = []
[[slo]]
asert = "tpot_s < 30 ms"
[[accuracy]]
by = ["what"]
[[accuracy]]
max_median = "20 %"
min_cases = 0
"""
    assert faults(project(text=text)) == [
        "1:1: basline: unknown key; did you mean 'baseline'?",
        "3:1: tolerances.tpot_s: must be at least 0, got -1",
        "4:1: tolerances.ttft_s: not a quantity: 'much' (write a number and a unit, e.g. '85 %')",
        "6:1: predictions.0.workloads: must be a list, got 'llama-3.1-8b-chat'",
        "7:1: predictions.0.deployments: must be given at least once, got []",
        "8:1: slo.0.assert: missing",
        "9:1: slo.0.asert: unknown key; did you mean 'assert'?",
        "10:1: accuracy.0: limits nothing; write max_median or max_p90, e.g. max_median = 0.2",
        "14:1: accuracy.1.min_cases: must be between 1 and 10^15, got 0",
    ]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("format = 2\n" + ONE, ["1:1: format: must be 1, got 2"]),
        ("x = = 1\n", ["1:5: not TOML: "]),
        ("x = " + "9" * 5000 + "\n", ["not TOML: Exceeds the limit"]),
        ("[tolerances]\ndefault = " + "9" * 400 + "\n" + ONE, ["2:1: tolerances.default: not a fraction: a number of too many digits"]),
        (f'hardware_dirs = ["{"a" * 300}"]\n' + ONE, ["1:1: hardware_dirs.0: no such folder: "]),
        (ONE + f'[[accuracy]]\nmeasured = "{"a" * 300}"\nmax_p90 = 1\n', ["can't be read: file name too long"]),
        ("", ["1:1: predictions: missing"]),
        (
            'hardware_dirs = ["nope"]\n' + ONE + "options = {bach = 3}\n",
            ["1:1: hardware_dirs.0: no such folder: ", "5:1: predictions.0.options: unknown option 'bach'; did you mean 'batch'?"],
        ),
        (
            '[[predictions]]\nworkloads = ["llama-3.1-8b-chatt", "llama-3.1-8b-chat"]\ndeployments = ["h10-sxm", "3xh100-sxm:tp=3"]\n',
            [
                "2:1: predictions.0.workloads.0: no workload 'llama-3.1-8b-chatt'; did you mean 'llama-3.1-8b-chat'",
                "3:1: predictions.0.deployments.0: no chip 'h10-sxm'; did you mean 'h100-sxm'",
                "3:1: predictions.0.deployments.1: 3xh100-sxm:tp=3: tp=3 does not divide the 32 heads",
            ],
        ),
        (
            "[tolerances]\ntpto_s = 1\n" + ONE + 'metrics = ["ttft_s", "tpot"]\n',
            ["2:1: tolerances.tpto_s: no metric 'tpto_s'; did you mean 'tpot_s'", "6:1: predictions.0.metrics.1: no metric 'tpot'"],
        ),
        (
            ONE + '[[slo]]\nassert = "tpo_s < 1"\n[[slo]]\nassert = "tpot_s"\n[[slo]]\nassert = "tpot_s < 1"\nworkloads = ["x*"]\n'
            '[[slo]]\nassert = "mfu < 1"\n[[slo]]\nassert = "1 < 2"\n[[slo]]\nassert = "__import__(\'os\')"\n',
            [
                "5:1: slo.0.assert: assert 'tpo_s < 1': character 1: no column 'tpo_s'; did you mean 'tpot_s'",
                "7:1: slo.1.assert: assert 'tpot_s': is no condition",
                "9:1: slo.2.assert: 'tpot_s < 1': no prediction has such a workload and deployment",
                "12:1: slo.3.assert: assert 'mfu < 1': character 1: no column 'mfu'",
                "14:1: slo.4.assert: '1 < 2': no prediction has all of its metrics",
                "16:1: slo.5.assert: assert",
            ],
        ),
        (
            ONE + '[[accuracy]]\nmeasured = "none.csv"\nmax_median = 1\n[[accuracy]]\nmeasured = "m.csv"\nby = ["chpi"]\nmax_p90 = 1\n'
            '[[accuracy]]\nmeasured = "m.csv"\nmax_p90 = 1\nmin_cases = 99\n',
            ["none.csv", "7:1: accuracy.1: --by chpi: no such column; did you mean 'chip'", "11:1: accuracy.2: no group has 99 cases"],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(project: Project, text: str, messages: list[str]) -> None:
    path = project(text=text)
    (path.parent / "m.csv").write_text((ROOT / "examples" / "my-measurements.csv").read_text(), encoding="utf-8")
    found = faults(path)
    assert len(found) == len(messages)
    for line, message in zip(found, messages, strict=True):
        assert message in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("draft = 3", "draft=3: must be the name of a model"),
        ("phase = 3", "no phase '3'"),
        ("stack = 3", "no stack '3'"),
        ("pools = 3", "pools=3: must be auto or PREFILL:DECODE chips"),
        ("batch = " + "9" * 400, "must be a number of at least 1"),
        ("tp = " + "9" * 400, "must be a whole number"),
        ("batch = [1]", "batch=[1]: must be a number of at least 1"),
        ("batch = 2024-01-01", "batch=datetime.date(2024, 1, 1): must be a number"),
        ("weights = {a = 1}", "weights={'a': 1}: must be one of"),
        ("tp = true", "tp=True: must be a whole number"),
        ("flash = true", "flash belongs to training"),
    ],
)
def test_options_of_the_wrong_kind_are_told(project: Project, options: str, message: str) -> None:
    (found,) = faults(project(text=ONE + f"options = {{{options}}}\n"))
    assert message in found


def test_without_a_file_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(
        rl.RooflineError, match="no such file; 'roofline new check' writes one, --config FILE names another"
    ):
        rl.check(tmp_path / "roofline.toml")


def test_a_broken_chip_of_ones_own_is_told_once(project: Project) -> None:
    path = project(
        text='[[predictions]]\nworkloads = ["llama-3.1-8b", "llama-3.1-8b-chat"]\ndeployments = ["./mine.yaml"]\n'
    )
    (path.parent / "mine.yaml").write_text("extends: h100-sxm\nid: mine\nname: Mine\npowr: 3\n", encoding="utf-8")
    (line,) = faults(path)
    assert "mine.yaml:4:7: powr: unknown key; did you mean 'power'?" in line


def test_the_template_works_as_it_is(tmp_path: Path) -> None:
    path = rl.new("check", folder=tmp_path)
    assert path == tmp_path / "roofline.toml"
    assert rl.check(path, update=True)["passed"]
    assert rl.check(path)["passed"]
    with pytest.raises(rl.RooflineError, match="exists already"):
        rl.new("check", folder=tmp_path)


def test_everything_in_the_template_that_is_commented_out_works(project: Project) -> None:
    """Each comment that begins with a key or a table is a line of TOML behind its '# '."""
    lines = template("check", "roofline").splitlines()
    text = "\n".join(
        line.removeprefix("# ") if line.startswith(("# [[", '# "')) or " = " in line[:28] else line for line in lines
    )
    text = text.replace('measured = "our-measurements.csv"', f'measured = "{ROOT}/examples/my-measurements.csv"')
    path = project(text=text)
    for name in ("hardware", "workloads"):
        (path.parent / name).mkdir()
    found = config.read(path)
    assert len(found.spec.slo) == len(found.spec.predictions) == 2
    assert found.spec.accuracy[0].min_cases == 5
    assert found.tolerance("usd_per_million_tokens") == 0.05
    assert rl.check(path, update=True)["counts"]["met"] == 2


def test_names_go_before_patterns_and_patterns_before_the_default(project: Project) -> None:
    path = project(text='[tolerances]\n"tpot_*" = "2 %"\n"*_s" = 0.5\ntpot_s = 0\ndefault = 0.25\n' + ONE)
    found = config.read(path)
    assert [found.tolerance(name) for name in ("tpot_s", "tpot_s_low", "ttft_s", "mfu")] == [0.0, 0.02, 0.5, 0.25]
    assert config.read(project(text=ONE)).tolerance("mfu") == 0.001


def test_paths_start_from_the_folder_of_the_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project(
        text='baseline = "kept/mine.baseline"\n[[predictions]]\nworkloads = ["./chat.yaml"]\n'
        'deployments = ["2x./my-asic.yaml:tp=2"]\noptions = {assumptions = "./our-prices.yaml"}\n'
    )
    folder = path.parent
    (folder / "kept").mkdir()
    for name in ("my-asic.yaml", "our-prices.yaml"):
        (folder / name).write_text((ROOT / "examples" / name).read_text(), encoding="utf-8")
    (folder / "chat.yaml").write_text(template("serving", "chat"), encoding="utf-8")
    rl.check(path, update=True)
    monkeypatch.chdir(folder)
    result = rl.check(os.path.relpath(path), every=True)
    assert result["passed"]
    assert (folder / "kept" / "mine.baseline").exists()
    told = {row["metric"]: row["now"] for row in result["rows"]}
    assert (told["costs"], told["plan"]) == ("our-prices", "tp=2,pp=1,dp=1,ep=1,cp=1")
    assert {row["deployment"] for row in result["rows"]} == {"2x./my-asic.yaml:tp=2"}


def test_options_make_cases_of_their_own(project: Project) -> None:
    path = project(
        text='[[predictions]]\nworkloads = ["llama-3.1-8b"]\ndeployments = ["h100-sxm"]\noptions = {phase = "decode", batch = 16}\n'
        + ONE.replace("-chat", "")
        + ONE.replace("-chat", "")
    )
    assert [case.work for case in config.read(path).cases()] == ["llama-3.1-8b:batch=16,phase=decode", "llama-3.1-8b"]


def test_folders_of_the_file_are_looked_into(project: Project) -> None:
    path = project(
        text='hardware_dirs = ["hw"]\n[[predictions]]\nworkloads = ["llama-3.1-8b-chat"]\ndeployments = ["ours"]\n'
    )
    (path.parent / "hw" / "chips").mkdir(parents=True)
    (path.parent / "hw" / "chips" / "ours.yaml").write_text(
        "extends: h100-sxm\nid: ours\nname: Ours\n", encoding="utf-8"
    )
    assert rl.check(path, update=True)["predictions"][0]["deployment"] == "ours"
