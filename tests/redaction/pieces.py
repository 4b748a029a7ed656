"""What finds are made of, whole and in parts: hypothesis puts them together."""

PIECES = (
    *("a", "b", "DE89", "GB29", "NWBK", "370400440532013000", "6016", "1331", "4111", "4111111111111111", "3782", "822463", "10005"),
    *("10.0.0.1", "fe80::1", "::", "2001:db8::1", "+", "+49", "+1", "(0)", "(555)", "00", "0049", "0171", "01", "23", "45", "67", "89"),
    *("1234567", "123456789", "1700000000", "tel:", "phone", "call@", "text-", "-", ".", "/", "(", ")", ",", ":", "=", "'", '"', "\n"),
    *("\u00a0", "\u00e9", "@", "%40", "x.com", "ada", "sk-proj-", "sk-abc123def456ghi789", "AKIAIOSFODNN7EXAMPLE", "xoxb-123456789012"),
    *("eyJhbGciOi", ".eyJzdWIi", "://u:p@h", "token", "secret=", "password:", "key=", "bearer", "Basic", "Authorization:"),
    *("-----BEGIN", "PRIVATE", "KEY-----"),
)
