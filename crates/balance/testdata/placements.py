"""Where keys belong, by the rules in crates/balance/src/hash.rs and without its code.

Prints crates/balance/testdata/placements.txt. Needs the package xxhash.
"""

import bisect
import math

from xxhash import xxh3_64_intdigest as xxh3

INSTANCES = [("s11", 1), ("s12", 1), ("s13", 3), ("ü", 2), ("10.0.0.1:8080", 1), ("10.0.0.2:8080", 7)]
POINTS_PER_WEIGHT = 160
SLOTS = 65537
KEYS = [b"", b"a", b"user:1", b"10.1.2.3", "schlüssel".encode(), b"\x00\xff" * 100]
KEYS += [b"key-%d" % number for number in range(34)]


def ring(instances):
    points = sorted(
        (xxh3(name.encode() + number.to_bytes(4, "little"), seed=1), name.encode(), name)
        for name, weight in instances
        for number in range(weight * POINTS_PER_WEIGHT)
    )
    places = [place for place, _, _ in points]

    def owner(key):
        return points[bisect.bisect_left(places, xxh3(key)) % len(points)][2]

    return owner


def rendezvous(instances):
    def owner(key):
        def cost(instance):
            name, weight = instance
            ranked = xxh3(key).to_bytes(8, "little") + xxh3(name.encode(), seed=2).to_bytes(8, "little")
            return -math.log(((xxh3(ranked, seed=3) >> 11) + 1) / 2**53) / weight

        return min(instances, key=cost)[0]

    return owner


def maglev(instances):
    heaviest = max(weight for _, weight in instances)
    table = [None] * SLOTS
    taken = dict.fromkeys(instances, 0)
    visited = dict.fromkeys(instances, 0)
    rounds = 0
    while None in table:
        rounds += 1
        for name, weight in instances:
            if None not in table or taken[name, weight] * heaviest >= rounds * weight:
                continue
            offset = xxh3(name.encode(), seed=4) % SLOTS
            skip = xxh3(name.encode(), seed=5) % (SLOTS - 1) + 1
            while table[(offset + visited[name, weight] * skip) % SLOTS] is not None:
                visited[name, weight] += 1
            table[(offset + visited[name, weight] * skip) % SLOTS] = name
            taken[name, weight] += 1
    return lambda key: table[xxh3(key) % SLOTS]


def jump(instances):
    buckets = [name for name, weight in instances for _ in range(weight)]

    def owner(key):
        state, bucket, following = xxh3(key), -1, 0
        while following < len(buckets):
            bucket = following
            state = (state * 2862933555777941757 + 1) % 2**64
            following = int((bucket + 1) * (2**31 / ((state >> 33) + 1)))
        return buckets[bucket]

    return owner


def main():
    instances = sorted(INSTANCES, key=lambda instance: instance[0].encode())
    for name, weight in instances:
        print(f"instance {name} {weight}")
    for key in KEYS:
        print(f"hash {key.hex()} {xxh3(key):016x}")
    for scheme in (ring, rendezvous, maglev, jump):
        owner = scheme(instances)
        for key in KEYS:
            print(f"{scheme.__name__} {key.hex()} {owner(key)}")


main()
