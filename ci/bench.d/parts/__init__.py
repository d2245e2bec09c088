"""One module a part, each with TITLE, NEEDS (fields of Bench without which it is skipped) and run(bench)."""

from parts import accuracy, cpu, pacing, soak, stall, users

PARTS = {"cpu": cpu, "pacing": pacing, "stall": stall, "accuracy": accuracy, "users": users, "soak": soak}
BY_DEFAULT = [name for name in PARTS if name != "soak"]
