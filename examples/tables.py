"""Tables for the command line: passengers and houses. Run: python examples/tables.py"""

# %% Two tables as they come: numbers and text, missing values, an id, a name of its own in every row
import csv
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


def passengers(n=900, seed=0):
    """Who survived a shipwreck: women and children first, and the first class before the others."""
    rng = np.random.default_rng(seed)
    female, ticket_class = rng.random(n) < 0.36, rng.choice([1, 2, 3], n, p=[0.24, 0.2, 0.56])
    age = np.clip(rng.normal(37 - 4 * ticket_class, 14), 0.5, 80).round(1)
    fare = rng.lognormal(4.9 - 0.85 * ticket_class, 0.5).round(2)
    z = 1.0 + 2.7 * female - 1.1 * (ticket_class - 1) - 0.035 * age + 1.5 * (age < 12)
    z -= 0.9 * female * (ticket_class == 3)
    survived = np.where(rng.random(n) < 1 / (1 + np.exp(-1.6 * z)), "yes", "no")
    port = rng.choice(["Cherbourg", "Queenstown", "Southampton", ""], n, p=[0.2, 0.1, 0.68, 0.02])
    return {
        "id": range(1, n + 1), "survived": survived, "class": ticket_class, "name": [f"Person {i}" for i in range(n)],
        "sex": np.where(female, "female", "male"), "age": np.where(rng.random(n) < 0.2, "", age.astype(str)),
        "fare": fare, "port": port,
    }  # fmt: skip


def houses(n=2000, seed=0):
    """What houses cost: by area, rooms, age, the way to the sea, and the district."""
    rng = np.random.default_rng(seed)
    area, age, way = rng.lognormal(4.6, 0.35, n).round(0), rng.integers(0, 80, n), rng.exponential(20, n).round(1)
    district = rng.choice(["harbour", "hill", "meadow", "old town"], n, p=[0.1, 0.2, 0.5, 0.2])
    value = np.select([district == d for d in ("harbour", "hill", "meadow")], [1.5, 1.2, 0.9], 1.3)
    price = 2400 * area * value * np.exp(-way / 60) * (1 - 0.004 * age + 0.00006 * age**2) * rng.lognormal(0, 0.08, n)
    return {
        "area": area, "rooms": np.maximum(1, (area / 25 + rng.normal(0, 0.7, n)).round()).astype(int), "age": age,
        "km_to_sea": np.where(rng.random(n) < 0.05, "NA", way.astype(str)), "district": district,
        "price": price.round(-2).astype(int),
    }  # fmt: skip


def write(path, columns):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *zip(*columns.values(), strict=True)])
    print(f"saved {path.name}: {len(columns['age'])} rows of {', '.join(columns)}")


# %% Saved beside this file; then, for example: bpx train examples/passengers.csv --target survived --out survived.npz
if __name__ == "__main__":
    write(FOLDER / "passengers.csv", passengers())
    write(FOLDER / "houses.csv", houses())

# %% Expected output
# saved passengers.csv: 900 rows of id, survived, class, name, sex, age, fare, port
# saved houses.csv: 2000 rows of area, rooms, age, km_to_sea, district, price
