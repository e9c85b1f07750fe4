import os
from pathlib import Path

import pytest

from proxy.ops.sight import LARGEST_BYTES, Sight, folders_of, look


def test_a_plain_file_shows_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").touch()
    assert folders_of(str(tmp_path / "rules.yaml")) == {str(tmp_path)}


def test_every_link_on_the_way_has_its_folder(tmp_path: Path) -> None:
    # As the kubelet lays a ConfigMap volume out: rules.yaml -> ..data/rules.yaml, ..data -> ..1
    (tmp_path / "..1").mkdir()
    (tmp_path / "..1" / "rules.yaml").touch()
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "rules.yaml").symlink_to("..data/rules.yaml")
    expected = {str(tmp_path), str(tmp_path / "..1")}
    assert folders_of(str(tmp_path / "rules.yaml")) == expected


def test_a_linked_folder_is_followed_through_dots_and_absolute_targets(tmp_path: Path) -> None:
    (tmp_path / "real" / "pages").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "pages").symlink_to("../real/./pages")
    (tmp_path / "config").symlink_to(tmp_path / "etc")
    assert folders_of(str(tmp_path / "config" / "pages" / "busy.html")) == {
        str(tmp_path),
        str(tmp_path / "etc"),
        str(tmp_path / "real" / "pages"),
    }


def test_a_missing_folder_shows_where_it_would_appear(tmp_path: Path) -> None:
    assert folders_of(str(tmp_path / "pages" / "en" / "busy.html")) == {str(tmp_path)}


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    assert folders_of(str(tmp_path / "one")) == {str(tmp_path)}


def test_the_same_content_written_again_is_no_difference(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1")
    before = look([str(file)], None)
    file.unlink()
    file.write_text("version: 1")
    after = look([str(file)], before)
    assert after is not before
    assert not after.differs(before, since=0.0, all_expected=False)


@pytest.mark.parametrize("content", ["version: 2", ""])
def test_other_content_is_a_difference(tmp_path: Path, content: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1")
    before = look([str(file)], None)
    file.write_text(content)
    assert look([str(file)], None).differs(before, since=0.0, all_expected=False)


def test_a_file_that_vanishes_or_appears_is_a_difference(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    missing = look([str(file)], None)
    file.write_text("version: 1")
    present = look([str(file)], None)
    assert present.differs(missing, since=0.0, all_expected=False)
    assert missing.differs(present, since=0.0, all_expected=False)


def test_a_file_not_seen_before_differs_only_if_it_changed_since(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1")
    changed = file.stat().st_ctime
    sight = look([str(file)], None)
    assert sight.differs(Sight(), since=changed - 1, all_expected=False)
    assert not sight.differs(Sight(), since=changed + 1, all_expected=True)


def test_a_file_not_seen_before_that_is_not_there_differs_only_if_it_was_expected(
    tmp_path: Path,
) -> None:
    sight = look([str(tmp_path / "page.html")], None)
    assert sight.differs(Sight(), since=0.0, all_expected=True)
    assert not sight.differs(Sight(), since=0.0, all_expected=False)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "page.html"
    os.mkfifo(pipe)
    before = look([str(pipe)], None)
    pipe.unlink()
    pipe.write_text("page")
    assert look([str(pipe)], before).differs(before, since=0.0, all_expected=False)


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.touch()
    os.truncate(file, LARGEST_BYTES + 2)
    before = look([str(file)], None)
    os.truncate(file, LARGEST_BYTES + 1)
    assert not look([str(file)], before).differs(before, since=0.0, all_expected=False)
    os.truncate(file, LARGEST_BYTES)
    assert look([str(file)], before).differs(before, since=0.0, all_expected=False)


def test_untouched_files_are_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1")
    before = look([str(file)], None)
    assert look([str(file)], before) is before
