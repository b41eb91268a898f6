"""Tables in an object store: a real server of S3's interface on loopback."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tables.blocks import open_table
from tables.config import TableData
from tables.errors import DataError
from tables.files import copies
from tables.files.copies import Copies
from tables.files.paths import find_files
from tables.source import read_table

pytest.importorskip("obstore")
boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto.server")

FRAME = pl.DataFrame({"x": range(30), "tags": [["a", "b"], [], None] * 10})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    one = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    one.start()
    host, port = one.get_host_and_port()
    yield f"http://{host}:{port}"
    one.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a bucket "clicks" with a table in two partitions, and set the environment."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=server)
    client.create_bucket(Bucket="clicks")
    for number, key in enumerate(("day=1/part-0", "day=1/part-1", "day=2/part-0")):
        file = io.BytesIO()
        FRAME[number * 10 : number * 10 + 10].write_parquet(file)
        client.put_object(Bucket="clicks", Key=f"table/{key}.parquet", Body=file.getvalue())
    client.put_object(Bucket="clicks", Key="table/_SUCCESS", Body=b"")
    client.put_object(Bucket="clicks", Key="table/.part-0.parquet", Body=b"hidden")
    yield client
    for entry in client.list_objects_v2(Bucket="clicks").get("Contents", []):
        client.delete_object(Bucket="clicks", Key=entry["Key"])
    client.delete_bucket(Bucket="clicks")


def data(path: Any) -> TableData:
    return TableData.model_validate({"kind": "table", "path": path})


def refusal(path: str) -> str:
    with pytest.raises(DataError) as caught:
        read_table(data(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("s3://clicks/table", ["1/0", "1/1", "2/0"]),
        ("s3://clicks/table/", ["1/0", "1/1", "2/0"]),
        ("s3://clicks", ["1/0", "1/1", "2/0"]),
        ("s3://clicks/table/day=1", ["1/0", "1/1"]),
        ("s3://clicks/table/day=[2-9]", ["2/0"]),
        ("s3://clicks/table/*/part-0.parquet", ["1/0", "2/0"]),
        ("s3://clicks/**/*-1.parquet", ["1/1"]),
        (["s3://clicks/table/day=2", "s3://clicks/table/day=1/*-1*"], ["1/1", "2/0"]),
    ],
)
def test_folders_and_patterns_are_as_of_a_disk(bucket: Any, path: Any, parts: list[str]) -> None:
    found = find_files(data(path))
    assert [str(file.where)[len("s3://clicks/table/day=") :] for file in found] == [
        f"{part[0]}/part-{part[2]}.parquet" for part in parts
    ]
    assert {file.partitions for file in found} == {(("day", part[0]),) for part in parts}


def test_a_stored_table_is_the_table_on_disk(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "MOST_BYTES", 0)
    for key in ("day=1/part-0", "day=1/part-1", "day=2/part-0"):
        target = tmp_path / "table" / f"{key}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        bucket.download_file("clicks", f"table/{key}.parquet", str(target))
    stored, local = open_table(data("s3://clicks/table"), tmp_path / "work"), open_table(data(str(tmp_path / "table")))
    assert stored.digest() == local.digest()
    assert stored.rows == local.rows == 30
    (one,), (other,) = stored.blocks(), local.blocks()
    assert one.frame.equals(other.frame)
    assert one.frame.drop("day").equals(FRAME)
    assert read_table(data("s3://clicks/table"))[0].frame.equals(one.frame)
    single = "table/day=1/part-0.parquet"
    assert read_table(data(f"s3://clicks/{single}"))[1] == read_table(data(str(tmp_path / single)))[1]


def test_few_copies_are_kept_and_none_are_left(bucket: Any, tmp_path: Path) -> None:
    files, config = find_files(data("s3://clicks/table")), data("s3://clicks/table")
    kept = Copies(tmp_path, most_bytes=0)
    for file in files:
        kept.readable(file, config)
        assert sum(path.is_file() for path in tmp_path.rglob("*")) <= 2
    del kept
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_named_by_its_address(bucket: Any) -> None:
    bucket.put_object(Bucket="clicks", Key="table/day=2/part-0.parquet", Body=b"PAR1 and then not")
    assert refusal("s3://clicks/table").startswith(
        "s3://clicks/table/day=2/part-0.parquet: the file cannot be read as Parquet: "
    )


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("s3://none/table", "s3://none/table: the store has no such bucket or file; mend data.path"),
        ("s3://clicks/none.parquet", "s3://clicks/none.parquet: the store has no such file, and no file of a known"),
        ("s3://clicks/table/*.csv", "s3://clicks/table/*.csv: the store has no such file"),
        ("s3://", "s3://: the address names no bucket; write s3://bucket/folder/part-*.parquet"),
        ("az://account", "az://account: the address names no bucket; write az://account/container/folder/part-*.parquet"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named(bucket: Any, path: str, sentence: str) -> None:
    assert refusal(path).startswith(sentence)


def test_credentials_that_lack_are_named(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    assert "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION" in refusal("s3://clicks/table")


def test_a_server_that_is_not_there_is_named(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "s3://clicks/table: the store cannot be read: " in refusal("s3://clicks/table")


def test_the_extra_is_named_where_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refusal("gs://clicks/table").endswith("install the extra: pip install '.[stores]'")
