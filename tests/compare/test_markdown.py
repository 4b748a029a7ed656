"""What a text is built of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowproxy.compare.markdown import MAX_BLOCKS, MAX_CHARACTERS, Block, outline

TEXT = """# Title

Some words - and a dash | a bar.

1. one
2) two
   - nested
+ plus

| a | b |
|---|:-:|
| 1 | 2 |

```python
# no heading
- no item
```

~~~
plain
~~~
### End
"""


def test_parts_are_counted_outside_code_only() -> None:
    found = outline(TEXT)
    assert found.counts == {"headings": 2, "list items": 4, "tables": 1, "code blocks": 2}
    assert found.blocks == (Block("python", "# no heading\n- no item"), Block("", "plain"))
    assert str(outline("# a\n- b\n- c")) == "1 heading, 2 list items"
    assert str(outline("a")) == "plain text"


@pytest.mark.parametrize(
    "text", ["#hashtag", "####### seven", "-5 degrees", "**bold**", "---", "a | b\nc | d", "1.5 litres", "`inline`", "```inline``` code"]
)
def test_what_only_looks_like_a_part_is_none(text: str) -> None:
    assert outline(text).counts == {}


def test_a_fence_ends_at_one_as_long() -> None:
    assert outline("````md\n```python\nx\n```\n````\n- a").blocks == (Block("md", "```python\nx\n```"),)
    assert outline("```\n~~~\n```").blocks == (Block("", "~~~"),)


def test_a_fence_that_is_never_closed_ends_with_the_text() -> None:
    assert outline("```py\nx = 1").blocks == (Block("py", "x = 1"),)


def test_a_block_in_a_list_item_loses_its_indentation() -> None:
    assert outline("- a\n  ```python\n  if x:\n      y\n  ```").blocks == (Block("python", "if x:\n    y"),)


def test_blocks_kept_and_texts_read_are_bounded() -> None:
    many = outline("```\nx\n```\n" * 1000)
    assert many.counts == {"code blocks": 1000}
    assert len(many.blocks) == MAX_BLOCKS
    assert outline("# a\n" * MAX_CHARACTERS).counts == {}


@pytest.mark.parametrize("bait", ["`", "~", "|-", "# ", "- ", " ", "1", "\n", "```\n"])
@pytest.mark.parametrize("begin", ["", "```"])
@pytest.mark.parametrize("end", ["", "`"])
def test_no_run_of_signs_takes_more_than_one_pass(bait: str, begin: str, end: str) -> None:
    text = begin + bait * (300_000 // len(bait)) + end
    assert sum(outline(text).counts.values()) <= text.count("\n") + 1


@pytest.mark.parametrize("run", ["x", " ", "x "])
def test_a_fence_with_an_endless_word_takes_one_pass(run: str) -> None:
    assert outline("```" + run * 500_000 + "`").counts == {}


@given(st.text(st.sampled_from("`~#-|*1. \nab:")))
def test_any_text_has_an_outline(text: str) -> None:
    found = outline(text)
    assert len(found.blocks) == min(MAX_BLOCKS, found.counts.get("code blocks", 0))
