"""The packaged language detector: right where it is sure, the same every time, and calm about anything."""

from __future__ import annotations

import pytest

from shadowproxy.compare.language import Detector, language_of
from shadowproxy.detect import load_detector

SENTENCES = {
    "en": "The library is open from nine to six on weekdays, and the reading room stays open until eight.",
    "de": "Die Bibliothek ist werktags von neun bis achtzehn Uhr geöffnet, der Lesesaal sogar bis zwanzig Uhr.",
    "fr": "La bibliothèque est ouverte de neuf heures à dix-huit heures en semaine, et la salle de lecture jusqu'à vingt heures.",
    "es": "La biblioteca abre de nueve a seis los días laborables, y la sala de lectura permanece abierta hasta las ocho.",
    "pt": "A biblioteca abre das nove às dezoito horas nos dias úteis, e a sala de leitura fica aberta até às vinte.",
    "it": "La biblioteca è aperta dalle nove alle diciotto nei giorni feriali e la sala di lettura resta aperta fino alle venti.",
    "nl": "De bibliotheek is op werkdagen open van negen tot zes, en de leeszaal blijft open tot acht uur.",
    "sv": "Biblioteket är öppet mellan nio och arton på vardagar, och läsesalen är öppen ända till tjugo.",
    "pl": "Biblioteka jest otwarta w dni robocze od dziewiątej do osiemnastej, a czytelnia nawet do dwudziestej.",
    "tr": "Kütüphane hafta içi dokuzdan altıya kadar açıktır, okuma salonu ise saat sekize kadar açık kalır.",
    "vi": "Thư viện mở cửa từ chín giờ đến mười tám giờ các ngày trong tuần, phòng đọc mở đến tám giờ tối.",
    "ru": "Библиотека открыта по будням с девяти до восемнадцати часов, а читальный зал работает до двадцати.",
    "uk": "Бібліотека відчинена в будні з дев'ятої до вісімнадцятої години, а читальна зала працює до двадцятої.",
    "ar": "المكتبة مفتوحة من التاسعة حتى السادسة في أيام العمل، وتبقى قاعة المطالعة مفتوحة حتى الثامنة مساءً.",
    "fa": "کتابخانه در روزهای کاری از ساعت نه تا شش باز است و سالن مطالعه تا ساعت هشت شب باز می‌ماند.",
    "hi": "पुस्तकालय सप्ताह के दिनों में नौ बजे से छह बजे तक खुला रहता है और वाचनालय आठ बजे तक खुला रहता है।",
}


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector()


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_recognised(detector: Detector, language: str) -> None:
    assert language_of(SENTENCES[language], detector) == language


def test_two_calls_agree(detector: Detector) -> None:
    assert all(detector(text) == detector(text) for text in SENTENCES.values())


@pytest.mark.parametrize("text", ["", " ", "\ud800" * 100, "\x00" * 100, "a" * 4000, "\U0001f600" * 500])
def test_odd_texts_raise_nothing_and_are_no_language(detector: Detector, text: str) -> None:
    label, probability = detector(text)
    assert isinstance(label, str)
    assert 0.0 <= probability <= 1.0
    assert language_of(text, detector) is None
