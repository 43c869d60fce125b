"""The offline side: data, tuning, calibration, evaluation, export."""
