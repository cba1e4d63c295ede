from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from atomstream_service.config import ConfigError, config_schema, load_config


def test_the_committed_schema_is_the_codes_own() -> None:
    assert (ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8") == config_schema()


def test_flags_override_variables_which_override_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('bundle = "one"\nresults = "tcp://127.0.0.1:1"\nhttp = "127.0.0.1:1"\n')
    config = load_config(
        file, {"ATOMSTREAM_RESULTS": "tcp://127.0.0.1:2", "ATOMSTREAM_HTTP": "127.0.0.1:2", "HOME": "/"}, {"http": "127.0.0.1:3", "bundle": None}
    )

    assert (config.bundle, config.results, config.http_port) == ("one", "tcp://127.0.0.1:2", 3)


def test_frame_sockets_come_from_tables_and_a_flag_moves_the_first(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[[frames]]\npolicy = "queue"\n[[frames]]\nendpoint = "tcp://10.0.0.7:9"\nattach = "connect"\nsocket = "pull"\npolicy = "block"\n')
    config = load_config(file, flags={"frames": "tcp://127.0.0.1:7"})

    assert [(one.endpoint, one.policy) for one in config.frames] == [("tcp://127.0.0.1:7", "queue"), ("tcp://10.0.0.7:9", "block")]


def test_structured_variables_are_json() -> None:
    config = load_config(environment={"ATOMSTREAM_FRAMES": '[{"policy": "queue", "depth": 3}]', "ATOMSTREAM_MIN_ACTIVE": "2", "ATOMSTREAM_MAPS": "false"})

    assert (config.frames[0].depth, config.min_active, config.maps) == (3, 2, False)


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("speed = 9", "speed"),
        ('[[frames]]\ncolour = "red"', "frames.0.colour"),
        ('results = "udp://x:1"', "tcp://HOST:PORT"),
        ('results = "tcp://127.0.0.1:99999"', "99999"),
        ('http = "8000"', "HOST:PORT"),
        ('tls_cert = "a.pem"', "tls_key"),
        ('[[frames]]\npolicy = "block"', "pull"),
        ("frames = []", "frames"),
        ("min_active = 0", "min_active"),
        ("not toml", "can't be read"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(tmp_path: Path, toml: str, named: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(toml)

    with pytest.raises(ConfigError) as refusal:
        load_config(file)
    assert named in str(refusal.value)


def test_an_unknown_variable_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="speed"):
        load_config(environment={"ATOMSTREAM_SPEED": "9"})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml")


def test_what_is_wrong_with_an_address_is_said_once_and_in_plain_words() -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(flags={"frames": [{"endpoint": "udp://x"}], "http": "nonsense"})

    assert str(refused.value) == "frames.0.endpoint: 'udp://x' is not tcp://HOST:PORT; http: 'nonsense' is not HOST:PORT"
