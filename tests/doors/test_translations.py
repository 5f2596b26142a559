"""The languages that are shipped: what is shown in them, and that no translation breaks what it is put into."""

from __future__ import annotations

import ast
import gettext
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client, override_settings
from django.urls import reverse
from django.utils.translation.template import templatize

import django_tasks_durable

from .clients import page_of, text_of
from .rows import a_failed_run, a_waiting_run

LOCALE = Path(django_tasks_durable.__file__).parent / "locale"
LANGUAGES = sorted(folder.name for folder in LOCALE.iterdir())
MARKS = frozenset({"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy", "pgettext", "pgettext_lazy"})
PLACES = re.compile(r"%(?:\(\w+\))?[sd]")


def catalogue(language: str) -> dict[object, str]:
    """Return what the compiled catalogue of a language holds."""
    with (LOCALE / language / "LC_MESSAGES" / "django.mo").open("rb") as compiled:
        return dict(gettext.GNUTranslations(compiled)._catalog)  # type: ignore[attr-defined]


def written(language: str) -> list[str]:
    """Return the translations of the file that people edit."""
    text = (LOCALE / language / "LC_MESSAGES" / "django.po").read_text()
    found = re.findall(r'^msgstr(?:\[\d\])? "(.+)"$', text, re.MULTILINE)
    return [each.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\") for each in found]


def told_in_code(source: str) -> Iterator[object]:
    """Give the texts of a module that are to be translated, as a catalogue keeps them: with their context if they have one."""
    for node in ast.walk(ast.parse(source)):
        name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if name not in MARKS or not isinstance(node, ast.Call):
            continue
        texts = [part.value for part in node.args if isinstance(part, ast.Constant)]
        if name.startswith("pgettext"):
            yield f"{texts[0]}\x04{texts[1]}"
        elif texts:
            yield texts[0]


def told_in_template(source: str) -> Iterator[object]:
    """Give the texts of a template that are to be translated."""
    for found in re.findall(
        r"""gettext\(u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\b_\(('[^']*'|"[^"]*")\)""", templatize(source)
    ):
        yield ast.literal_eval(next(filter(None, found)))


def texts_to_translate() -> set[object]:
    """Return every text of the package that is marked for translation."""
    package = LOCALE.parent
    found: set[object] = set()
    for path in package.rglob("*.py"):
        if "migrations" not in path.parts:
            found.update(told_in_code(path.read_text()))
    for path in package.rglob("templates/**/*.html"):
        found.update(told_in_template(path.read_text()))
    return found


def test_the_texts_are_found() -> None:
    assert set(told_in_code('_("a" "b"); pgettext_lazy("Task", "Ready"); print("c")')) == {"ab", "Task\x04Ready"}
    template = (
        '{% load i18n %}{% translate "A b" %}{% blocktranslate with name=x %}by {{ name }}{% endblocktranslate %}'
    )
    assert set(told_in_template(template)) == {"A b", "by %(name)s"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_left_untranslated(language: str) -> None:
    """What is compiled holds no fuzzy and no empty translation."""
    found = texts_to_translate()
    assert len(found) > 450
    assert sorted(map(str, found - {key[0] if isinstance(key, tuple) else key for key in catalogue(language)})) == []


def test_german_and_french_are_shipped() -> None:
    assert LANGUAGES == ["de", "fr"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    compiled = catalogue(language).values()
    assert set(written(language)) <= set(compiled)
    assert len(written(language)) > 400


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_translation_takes_what_its_original_takes(language: str) -> None:
    for original, translated in catalogue(language).items():
        told = original[0] if isinstance(original, tuple) else original
        assert isinstance(told, str)
        if told:
            assert sorted(PLACES.findall(told)) == sorted(PLACES.findall(translated)), told
            assert not set(translated) - set(string.printable) or translated.isprintable()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", ["Übersicht", "Posteingang", "Fehlgeschlagen"]),
        ("fr", ["Vue d&#x27;ensemble", "Boîte de réception", "Échouées"]),
    ],
)
def test_the_admin_is_shown_in_the_language_of_the_reader(root: Client, language: str, words: list[str]) -> None:
    a_failed_run()
    with override_settings(LANGUAGE_CODE=language):
        shown = text_of(root.get(reverse("admin:durable_tasks_taskrun_overview")))
        assert all(word in shown for word in words), [word for word in words if word not in shown]
        assert ("Antworten" if language == "de" else "Répondre") in text_of(root.get(page_of(a_waiting_run())))
