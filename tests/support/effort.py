"""Effort of the tests of faults: brief in CI, long in `make soak`; the one place for both."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """One figure for each test that asks for the fixture `effort`.

    A test reads its own by name.

    Attributes:
        soak: whether this is `make soak`.
        kills: workers killed one after another under load.
        between_kills_s: load before each kill, in seconds; a worker that has not lived for ten
            starts after a pause.
        flood_s: how long more comes than can be served, in seconds, for each shape of load.
        cases: valid and invalid ones that are made up from the OpenAPI document for each call, of
            each kind.
        bodies: random and mutated bodies sent to the calls that take rows.
        attacks: times that each attack on the wire is made, on several connections at once.
        drains: services ended under load, one after another.
        reload_s: how long new versions come every 200 ms, in seconds.
        tables: damaged files that the trainer is given.
        hostile_kills: times that all workers are killed while a model file is checked whose load
            never ends.
        steady_s: how long memory and descriptors are watched under plain load, in seconds.
        large_requests: times that each request made to become large is sent.
        floods_of_bodies: times that many clients send large bodies at once.
    """

    soak: bool
    kills: int
    between_kills_s: float
    flood_s: float
    cases: int
    bodies: int
    attacks: int
    drains: int
    reload_s: float
    tables: int
    hostile_kills: int
    steady_s: float
    large_requests: int
    floods_of_bodies: int


SHORT = Effort(
    soak=False,
    kills=1,
    between_kills_s=0,
    flood_s=2,
    cases=8,
    bodies=3000,
    attacks=1,
    drains=1,
    reload_s=4,
    tables=100,
    hostile_kills=1,
    steady_s=3,
    large_requests=4,
    floods_of_bodies=1,
)
SOAK = Effort(
    soak=True,
    kills=6,
    between_kills_s=11,
    flood_s=20,
    cases=150,
    bodies=100_000,
    attacks=8,
    drains=5,
    reload_s=60,
    tables=2000,
    hostile_kills=5,
    steady_s=180,
    large_requests=10,
    floods_of_bodies=3,
)
