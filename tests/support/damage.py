"""Tables of many formats, and what transfer, editors and bad disks do to their bytes."""

import gzip
import io
import random
import zipfile
from pathlib import Path

import polars as pl

ROWS = 200
NASTY = (
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xff\xff\xff\xff",
    b";",
    b"\x80",
    b"{",
    b"]",
    b'""',
    b"\x7f",
    b"\x1f",
)


def undamaged(seed: int) -> dict[str, bytes]:
    """Write a table in every format that is read, by file name.

    It has numbers, words, truth values and gaps.
    """
    draw = random.Random(seed)
    frame = pl.DataFrame(
        {
            "x": [draw.gauss(0, 1) for _ in range(ROWS)],
            "count": [draw.randrange(1000) if draw.random() > 0.1 else None for _ in range(ROWS)],
            "word": [draw.choice(["red", "green, and blue", 'a "b"', None, "größer"]) for _ in range(ROWS)],
            "flag": [draw.random() < 0.5 for _ in range(ROWS)],
            "y": [draw.gauss(0, 1) for _ in range(ROWS)],
        }
    )
    text = frame.write_csv()
    files = {
        "a.csv": text.encode(),
        "b.csv": text.replace("\n", "\r\n").encode("utf-8-sig"),
        "c.csv": b"sep=,\r\n" + text.encode(),
        "d.csv.gz": gzip.compress(text.encode(), mtime=0),
        "f.jsonl": frame.write_ndjson().encode(),
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inside.csv", text)
    files["e.zip"] = archive.getvalue()
    for number, compressed in enumerate((False, True)):
        parquet, arrow, stream = io.BytesIO(), io.BytesIO(), io.BytesIO()
        frame.write_parquet(parquet, compression="zstd" if compressed else "snappy", statistics=draw.random() < 0.5)
        frame.write_ipc(arrow, compression="zstd" if compressed else "uncompressed")
        frame.write_ipc_stream(stream, compression="lz4" if compressed else "uncompressed")
        files |= {
            f"g{number}.parquet": parquet.getvalue(),
            f"h{number}.arrow": arrow.getvalue(),
            f"i{number}.ipc": stream.getvalue(),
        }
    return files


def damage(content: bytes, draw: random.Random) -> bytes:
    """Change, insert, remove or repeat some bytes.

    More often near the end, where formats keep their footers.
    """
    data = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 5, 20])):
        place = draw.choice(
            [draw.randrange(len(data)), max(0, len(data) - 1 - draw.randrange(1500)), draw.randrange(64)]
        )
        place = min(place, len(data) - 1)
        length = draw.choice([1, 1, 1, 4, 40])
        match draw.randrange(5):
            case 0 | 1:
                data[place] = draw.randrange(256)
            case 2:
                data[place:place] = draw.choice(NASTY)
            case 3:
                del data[place : min(place + length, len(data) - 1)]
            case 4:
                data[place:place] = data[place : place + length]
    return bytes(data[: draw.randrange(1, len(data))] if draw.random() < 0.15 else data)


def write_damaged(directory: Path, count: int, seed: int) -> list[Path]:
    """Write so many damaged files; the same seed gives the same ones."""
    draw = random.Random(seed)
    whole = undamaged(seed)
    paths = []
    for number in range(count):
        name = draw.choice(sorted(whole))
        path = directory / f"{number:04d}-{name}"
        path.write_bytes(damage(whole[name], draw))
        paths.append(path)
    return paths
