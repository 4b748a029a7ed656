"""Texts made up for this project, with what has to be found in them: as prompts and answers hold it, not as a specification writes it.

``«kind:value»`` marks what is to be found. The numbers are examples from documentation, or have right check digits and belong to nobody.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_MARK = re.compile(r"«(?P<kind>[a-z0-9_]+):(?P<value>[^»]*)»")

PERSONAL = (
    "Hi, I'm Ada. You can reach me at «email:ada.lovelace@analytical-engine.co.uk» or «phone:+44 20 7946 0958».",
    "Schreib mir an «email:jörg.müller@beispiel.de», Tel. «phone:030/12345678» oder mobil «phone:0171 2345678».",
    "mon numéro est le «phone:01 42 68 53 00», mail «email:marie-claire.dupont+rdv@exemple.fr»",
    "Contact: «email:first_last%dept@corp.example.com»; cc «email:o'neil@x.example.org»",
    "US numbers: «phone:(212) 555-0147», «phone:212-555-0148», «phone:212.555.0149», «phone:+1 415 555 0132», «phone:+1-415-555-0133»",
    "call «phone:5551234567» before noon, fax: «phone:4930123456»",
    "India «phone:+91 98765 43210», Brazil «phone:+55 11 91234-5678», Japan «phone:+81 3-1234-5678», China «phone:+86 138 0013 8000»",
    "WhatsApp «phone:+4915112345678» and «phone:0049 151 12345678»",
    "My card is «card:4111 1111 1111 1111», exp 12/27, the other one «card:5500-0000-0000-0004».",
    "amex «card:378282246310005», diners «card:3056 930902 5904», discover «card:6011111111111117»",
    "mastercard «card:2223003122003222»; jcb «card:3530111333300000»; unionpay «card:6200000000000005»",
    "Please transfer to «iban:DE89 3704 0044 0532 0130 00» (BIC COBADEFFXXX), or «iban:GB29NWBK60161331926819».",
    "IBAN: «iban:FR14 2004 1010 0505 0001 3M02 606», «iban:NL91ABNA0417164300», «iban:CH93 0076 2011 6238 5295 7»",
    "Überweisung auf «iban:AT611904300234573201» Verwendungszweck 4711",
    "server at «ipv4:203.0.113.42» port 22, gateway «ipv4:192.168.0.1», v6 «ipv6:2001:db8:85a3::8a2e:370:7334»",
    "connection from «ipv6:fe80::1ff:fe23:4567:890a» refused; route via «ipv4:10.20.30.40»",
    '{"email":"«email:bob@example.com»","phone":"«phone:+1 650 253 0000»","card":"«card:4242424242424242»"}',
    "name,email\nAda,«email:ada@example.com»\nGrace,«email:grace@navy.example.mil»",
    "From: Ada <«email:ada@example.com»>\nTo: «email:team@example.org»\nSubject: minutes",
    "mailto:«email:sales@shop.example» or https://x.example/?e=«email:ada%40example.com»",
)

SECRET = (
    "export OPENAI_API_KEY=«api_key:sk-proj-Zk3abcDEF123456ghiJKL789mnoPQR»",
    "client = Anthropic(api_key='«api_key:sk-ant-api03-AbCdEf_0123456789-xyzABCDEF»')",
    "aws_access_key_id = «api_key:AKIAIOSFODNN7EXAMPLE»",
    "aws_secret_access_key = «secret:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY»",
    "curl -H 'Authorization: Bearer «token:abc123def456ghi789jkl»' https://api.example.com",
    "git clone https://«credentials:ada:ghp_short1»@github.com/a/b",
    "token «api_key:ghp_0123456789abcdefghijABCDEFGHIJ012345» pushed by mistake",
    "HF_TOKEN=«api_key:hf_abcdefghijABCDEFGHIJ0123456789abcd»",
    "slack: «api_key:xoxb-123456789012-abcdefABCDEF»",
    "cookie: session=«jwt:eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U»",
    "postgres://«credentials:app:s3cretPass»@db.internal:5432/orders",
    '{"user": "ada", "password": "«secret:hunter2hunter2»"}',
    "password=«secret:Tr0ub4dor&3x»",
    "the key is «private_key:-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----»",
    "google «api_key:AIzaSyD-0123456789abcdefghijklmnopqrstu»",
    "gitlab «api_key:glpat-0123456789abcdefghij» stripe «api_key:sk_live_0123456789abcdefghijkl»",
    "client_secret: «secret:8f3b2c1d9e7a6054»",
    "nvidia «api_key:nvapi-0123456789abcdefghij_KLMNO»",
)

#: What answers are full of, and none of it personal.
INNOCENT = (
    "The answer is 42, as of 2024-01-15 10:30:00 (see §3.1.2).",
    "Python 3.11.7, numpy 1.26.4 and CUDA 12.1.105 are required; pip 23.3.2 will do.",
    "In 2023 revenue grew from 1,234,567,890 to 2.345.678.901 euros, i.e. by 89.9 %.",
    '{"id":"chatcmpl-9abcDEF123","object":"chat.completion","created":1700000000,"usage":{"prompt_tokens":123,"total_tokens":368}}',
    "total_duration: 5589157167, load_duration: 3013701500, eval_count: 282",
    "commit 3f2504e04f8911d39a0c0305e82c3301 and uuid 6f1c2a34-5b6d-4e8f-9a0b-1c2d3e4f5a6b",
    "std::vector<int> a; a[::2]; fe::scope; 12:34:56; 00:1a:2b:3c:4d:5e",
    "E = mc^2, 6.62607015e-34, 3.14159265358979, 0.1111111111111111",
    "ISBN 978-3-16-148410-0, order 2024-000123, ticket #4711, part no. 12-3456-78",
    "max_tokens: 1024, the token count is large; a password must be long and secret: yes",
    "The bearer of bad news; basic understanding; sk-learn-pipelines; AKIA is a lake in Japan",
    "@decorator, user@localhost, @ada on the forum, a @ b in numpy",
    "[0.0123456789, -0.98765432101, 1.5e-09, 0.33333333333]",
    "Matches on 01.02.2024 10:30 and 31/12/1999 23:59; kick-off 20.15",
    "The population of Tokyo is 13960000, of Delhi 32941000; altitude 8848 m",
    "Section 4.1.1.1 and 10.2.3; version 1.2.3.4.5; ratio 16:9",
    "def f(x): return x['key'] == 'value' and token.kind in KINDS",
    "https://example.com/a/b?page=2&sort=asc#top and http://localhost:8080/v1",
    "SELECT id, COUNT(*) FROM t WHERE ts > 1700000000123 GROUP BY 1;",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
)


class Case(NamedTuple):
    """A text, and (start, end, kind) of what is to be found in it."""

    text: str
    expected: tuple[tuple[int, int, str], ...]


def case(marked: str) -> Case:
    """The text without its marks."""
    text, done, expected = "", 0, []
    for mark in _MARK.finditer(marked):
        text += marked[done : mark.start()]
        expected.append((len(text), len(text) + len(mark["value"]), mark["kind"]))
        text, done = text + mark["value"], mark.end()
    return Case(text + marked[done:], tuple(expected))
