"""Templates: what they render, and how they refuse."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import TemplateError
from penstock.templates import Template


@pytest.mark.parametrize(
    ("text", "data", "rendered"),
    [
        ("Summarise: {{ text }}", {"text": "Hé"}, "Summarise: Hé"),
        ("No field at all", {}, "No field at all"),
        ("<{{ a }}>", {"a": "<b> & 'c'"}, "<<b> & 'c'>"),
        ("{{ row['my column'] }}", {"my column": "x"}, "x"),
        ("{{ row.text }}", {"text": "x"}, "x"),
        ("{{ row }}", {"row": "mine"}, "mine"),
        ("{{ name }} {{ self }} {{ template }}", {"name": 1, "self": 2, "template": 3}, "1 2 3"),
        ("{{ data | tojson }}", {"data": {"a": [1, None]}}, '{"a": [1, null]}'),
        ("{{ n }} {{ f }} {{ b }}", {"n": 3, "f": 1.5, "b": True}, "3 1.5 True"),
        ("{% for x in xs %}{{ loop.index }}{{ x }}{% endfor %}", {"xs": ["a", "b"]}, "1a2b"),
        ("{{ text or 'nothing' }}", {"text": None}, "nothing"),
        ("{{ text | default('nothing') }}", {}, "nothing"),
        ("{{ text.upper() }}", {"text": "a"}, "A"),
        ("{{ '{{' }}", {}, "{{"),
        ("a\n\n{{ x }}\n", {"x": 1}, "a\n\n1"),
    ],
)
def test_a_row_is_rendered(text: str, data: dict[str, Any], rendered: str) -> None:
    """Jinja over the row's fields, nothing escaped, one last newline dropped."""
    assert Template(text).render(data) == rendered


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hi {{ text }", "line 1: unexpected"),
        ("one\n{% if %}", "line 2: unexpected"),
        ("{{ text | shout }}", "filter shout is unknown"),
        ("{{ shout(text) }}", "shout is unknown"),
        ("{{ text is loud }}", "test loud is unknown"),
        ("{% include 'secrets.txt' %}", "non-existing template"),
        ("{% for x in xs %}", "line 1: unexpected end"),
    ],
)
def test_what_can_never_be_rendered_does_not_compile(text: str, said: str) -> None:
    """The line is named, and how a field is written."""
    with pytest.raises(TemplateError, match=said) as caught:
        Template(text, "the prompt")
    assert caught.value.message.startswith("the prompt does not compile")
    assert caught.value.hint is not None
    assert "{{ text }}" in caught.value.hint


def test_a_missing_field_is_named_with_those_there_are() -> None:
    """The words lead from the template to the row."""
    with pytest.raises(ValueError, match=r"^the prompt needs `text`, the row has: id, body$"):
        Template("{{ text }}", "the prompt").render({"id": 1, "body": "x"})


@pytest.mark.parametrize(
    ("text", "data", "said"),
    [
        ("{{ text }}", {}, "the row has: no fields"),
        ("{{ meta.title }}", {"meta": {}}, "needs `meta.title`"),
        ("{{ row['my column'] }}", {"a": 1}, r"needs `row\['my column'\]`"),
        ("{{ text }}", {str(number): 1 for number in range(20)}, "10, 11, …$"),
        ("{{ text }}", {"text": None}, "prints a field that is null"),
        ("{{ meta.title }}", {"meta": {"title": None}}, "prints a field that is null"),
        ("{{ text.upper() }}", {}, "`text` is undefined"),
        ("{{ meta.nothing() }}", {"meta": {}}, "nothing"),
        ("{{ a + b }}", {"a": 1, "b": "x"}, "line 1: tried to use"),
        ("{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", {}, "ran out of fuel"),
        ("{{ 'a' * 1000000000 }}", {}, "ran out of fuel"),
        ("{{ text.__class__ }}", {"text": "x"}, "needs `text.__class__`"),
    ],
)
def test_what_a_row_lacks_is_told_in_words(text: str, data: dict[str, Any], said: str) -> None:
    """Never a hole in a prompt that is paid for, and never an endless one."""
    with pytest.raises(ValueError, match=said):
        Template(text).render(data)


def test_the_fields_are_known_beforehand() -> None:
    """The names of the row that the template reads, without its own and the language's."""
    text = "{{ a.b }} {% for x in xs %}{{ x }}{{ loop.index }}{% endfor %} {{ row['c d'] }} {{ range(3) }}"
    assert Template(text).fields == {"a", "xs"}


def test_one_template_renders_every_row_alike() -> None:
    """Nothing of one row is left for the next."""
    template = Template("{% set y = x %}{{ y }}")
    assert [template.render({"x": x}) for x in (1, 2, 1)] == ["1", "2", "1"]


@given(text=st.text(alphabet="{}%#|. abx'\"\n()[]", max_size=30), value=st.text(max_size=5))
def test_any_text_renders_or_is_refused(text: str, value: str) -> None:
    """A template fails as a `TemplateError` or a `ValueError`, in no other way."""
    try:
        Template(text).render({"a": value, "b": [value], "x": {"a": value}})
    except (TemplateError, ValueError):
        return


_LITERAL = st.text(st.characters(exclude_characters="{}%#", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(_LITERAL, st.sampled_from(["a", "b"])), min_size=1), _LITERAL, st.data())
def test_the_short_way_and_the_long_way_lead_to_the_same_text(
    parts: list[tuple[str, str]], end: str, data: st.DataObject
) -> None:
    """A template that only prints fields is joined without the engine, where these are texts."""
    text = "".join(f"{literal}{{{{ {field} }}}}" for literal, field in parts) + end
    row = {field: data.draw(_LITERAL | st.integers() | st.booleans()) for field in ("a", "b")}
    long_way = "{{ '' }}" + text + ("" if text.endswith(("\n", "\r")) else "{{ '' }}")
    assert Template(text).render(row) == Template(long_way).render(row)
