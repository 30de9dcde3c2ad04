import pytest

from supervisor.vocabulary.content import Wanted


@pytest.fixture(scope="session")
def parsers():
    from supervisor.inspection.parsing import Parsers

    return Parsers()


@pytest.fixture(scope="session")
def inspect(parsers):
    """(kind, text or bytes, path) -> Findings, nothing kept between calls."""
    from supervisor.inspection import reading

    def ask(kind, content, path=b""):
        tools = reading.Tools(parsers, Wanted())
        return reading.inspect(kind, path, content if isinstance(content, bytes) else content.encode(), tools)

    return ask


@pytest.fixture(scope="session")
def modules(inspect):
    def ask(kind, content, path=b""):
        found = inspect(kind, content, path)
        assert not found.refusal, found.refusal
        return [each.module for each in found.imports]

    return ask


@pytest.fixture(scope="session")
def named(inspect):
    """(name, versions, line, place, origin) of what is required; the content must be readable."""

    def ask(kind, content, path=b""):
        found = inspect(kind, content, path)
        assert not found.refusal, found.refusal
        assert not found.pending, found.pending
        return [(each.name, each.versions, each.line, each.place, each.origin) for each in found.requirements]

    return ask
