import math

from components.train import fine_tuning

ONE = {"metric": "accuracy", "scores": {1: 0.88}, "seed": 1, "records": 7986, "epochs": 2, "planned": 2}


def test_one_seed_is_one_figure():
    assert str(fine_tuning.FineTuning(**ONE)) == "eval accuracy 0.880 · 7,986 records · 2 epochs"
    assert fine_tuning.FineTuning(**ONE).seeds == ""


def test_calibration_comes_last():
    calibration = {"temperature": 1.314, "ece_before": 0.052, "ece_after": 0.021}
    assert str(fine_tuning.FineTuning(**ONE, calibration=calibration)).endswith(
        " · 2 epochs · temperature 1.31, ECE 0.052→0.021"
    )


def test_rows_have_the_name_that_the_task_gives_them():
    rows = {"records": 2_011, "rows": "windows"}
    found = fine_tuning.FineTuning(**ONE | rows, refit={**rows, "epochs": 3})
    assert str(found).endswith(" · 2,011 windows · 2 epochs · refit on train + eval: 2,011 windows, 3 epochs")


def test_a_refit_is_told():
    refit = fine_tuning.FineTuning(**ONE, refit={"records": 8987, "epochs": 1})
    assert str(refit).endswith(" · 2 epochs · refit on train + eval: 8,987 records, 1 epoch")


PRUNING = {"heads": (72, 50), "parameters": (22_600_000, 21_500_000), "whole": 0.886, "cut": 0.882, "epochs": 1}


def test_cut_heads_are_told_with_what_the_cut_cost():
    one = fine_tuning.FineTuning(**ONE, pruning={**PRUNING, "recovered": 0.887})
    assert str(one).endswith(
        " · 2 epochs · 72 → 50 heads (−.004 when cut, +.001 after one more epoch) · 22.6 → 21.5 M parameters"
    )
    few = {**PRUNING, "parameters": (4_644, 4_032), "recovered": -0.614, "epochs": 2}
    assert str(fine_tuning.Pruning(**few)) == (
        "72 → 50 heads (−.004 when cut, −1.500 after 2 more epochs) · 0.005 → 0.004 M parameters"
    )
    assert "(−10.886 when cut, " in str(fine_tuning.Pruning(**few | {"cut": -10}))
    assert str(fine_tuning.Pruning(**few | {"epochs": 0})).startswith("72 → 50 heads (−.004 when cut) · ")


def test_several_seeds_are_mean_and_standard_deviation_and_the_best():
    found = fine_tuning.FineTuning(**ONE | {"scores": {1: 0.88, 2: 0.87, 3: 0.896}, "seed": 3, "planned": 5})
    assert str(found) == (
        "eval accuracy 0.882 ± 0.013 over 3 seeds, best 0.896 (seed 3) · 7,986 records · 2 of 5 epochs"
    )
    assert found.seeds == "1: 0.880, 2: 0.870, 3: 0.896"


def test_a_seed_without_a_figure_leaves_none_for_all():
    found = fine_tuning.FineTuning(**ONE | {"scores": {1: 0.88, 2: math.nan}})
    assert str(found).startswith("eval accuracy nan ± nan over 2 seeds, best 0.880 (seed 1) · ")


def test_what_is_written_is_read(tmp_path):
    found = fine_tuning.FineTuning(**ONE | {"scores": {1: math.inf, 2: -0.5}})
    found.write(tmp_path)
    assert fine_tuning.read(tmp_path) == found
