"""Documents of every format, and where paths lead in them."""

from __future__ import annotations

import pytest

from supervisor.inspection import documents
from supervisor.inspection.decoding import Unreadable
from supervisor.vocabulary.content import Selection


@pytest.fixture
def look(parsers):
    """(path, text or bytes, at, *fields) -> [(place, line, values or {field: values}, unsure)], pending."""

    def ask(path, content, at, *fields):
        content = content if isinstance(content, bytes) else content.encode()
        found, pending = documents.values(path.encode(), content, parsers, (Selection("r", ("*",), (), at, fields),))
        told = []
        for each in found:
            assert each.selection == "r"
            assert each.known == (not each.unsure)
            members = dict(each.fields)
            told.append((each.at, each.line, members if fields else members[""], each.unsure))
        return told, pending

    return ask


@pytest.fixture
def said(look):
    """All values at one path; the document must be whole."""

    def ask(path, content, at):
        told, pending = look(path, content, at)
        assert not pending
        return [value for _, _, values, _ in told for value in values]

    return ask


def test_a_block_two_blocks_a_list_and_a_dynamic_block_are_the_same_place(look):
    for body, lines in (
        ("ingress {\n p = 1\n}", [2]),
        ("ingress {\n p = 1\n}\ningress {\n p = 1\n}", [2, 5]),
        ("ingress = [{ p = 1 }]", [2]),
        ("ingress = { p = 1 }", [2]),
        ('dynamic "ingress" {\n for_each = [1]\n content {\n p = 1\n }\n}', [4]),
    ):
        for at in ("resource.sg.*.ingress", "resource.sg.*.ingress[*]", "resource.*.x.ingress", "**.ingress"):
            told, pending = look("a.tf", 'resource "sg" "x" {\n' + body + "\n}\n", at, "p")
            assert not pending
            assert [line for _, line, _, _ in told] == lines, (body, at)
            assert all(fields == {"p": (1,)} for _, _, fields, _ in told)


def test_terraform_in_json_is_the_same_place(look):
    for text in (
        '{"resource": {"sg": {"x": {"ingress": [{"p": 1}]}}}}',
        '{"resource": [{"sg": [{"x": [{"ingress": {"p": 1}}]}]}]}',
        '{"resource": {"sg": {"x": {"dynamic": {"ingress": {"for_each": [1], "content": {"p": "${1}"}}}}}}}',
    ):
        told, pending = look("a.tf.json", text, "resource.sg.*.ingress", "p")
        assert not pending
        assert [fields for _, _, fields, _ in told] == [{"p": (1,)}]


@pytest.mark.parametrize(
    ("expression", "values", "known"),
    [
        ('"a"', ("a",), True),
        ("-1.5", (-1.5,), True),
        ("true", (True,), True),
        ("null", (None,), True),
        ('("a")', ("a",), True),
        ('"a\\u0062\\"$${x}"', ('ab"${x}',), True),
        ('["a", ["b"]]', ("a", "b"), True),
        ('"${"a"}/${local.n}"', ("a/3",), True),
        ('"${local.n}"', (3,), True),
        ("local.t.a[1]", ("y",), True),
        ('local.t["a"][0]', ("x",), True),
        ('toset(["a"])', ("a",), True),
        ('concat(["a"], var.x)', ("a",), False),
        ('var.q ? "a" : "b"', ("a", "b"), False),
        ('coalesce(var.q, "b")', ("b",), False),
        ('[for e in ["a"] : e]', ("a",), False),
        ('format("%s/%s", "a", 1)', ("a/1",), True),
        ('lower("A")', ("a",), True),
        ("var.d", ("dflt",), False),
        ("var.q", (), False),
        ("data.x.y.z", (), False),
        ('jsondecode("[\\"a\\", 1]")', ("a", 1), True),
        ('yamldecode("[a, 1]")', ("a", 1), True),
        ('split(",", "a,b")', ("a", "b"), True),
        ('"${var.q}"', (), False),
        ('"${var.q}:latest"', ("${var.q}:latest",), False),
        ("local.loop", (), False),
        ("timestamp()", (), False),
        ("<<EOT\na\n${local.n}\nEOT", ("a\n3\n",), True),
        ("{ b = 1, (var.q) = 2 }", ("b",), False),
        ('merge({ b = 1 }, { "c" : 2 })', ("b", "c"), True),
    ],
)
def test_what_an_expression_tells(look, expression, values, known):
    text = (
        'locals {\n n = 3\n t = { a = ["x", "y"] }\n loop = local.loop\n}\n'
        'variable "d" {\n default = "dflt"\n}\n'
        f"x {{\n v = {expression}\n}}\n"
    )  # fmt: skip
    told, pending = look("a.tf", text, "x.v")
    assert not pending
    [(place, line, found, unsure)] = told
    assert (place, line) == ("x.v", 10)
    if known:
        assert (found, unsure) == (values, ())
    else:
        assert (found, unsure) == (values, ("",))


def test_policies_inside_of_strings_are_looked_into(look):
    for policy in (
        'jsonencode({ Statement = [{ Action = "*" }] })',
        'jsonencode({ "Statement" : { "Action" : ["*"] } })',
        '<<-EOT\n    {"Statement": [{"Action": "*"}]}\n  EOT',
        '"{\\"Statement\\": [{\\"Action\\": \\"*\\"}]}"',
    ):
        told, _ = look("a.tf", f"p {{\n policy = {policy}\n}}\n", "p.policy.Statement[*]", "Action")
        assert [fields for _, _, fields, _ in told] == [{"Action": ("*",)}], policy


def test_half_written_hcl_tells_what_is_certain(look):
    text = 'a {\n x = 1\n y = [\n}\nb {\n x = 2\n}\nc {\n x = "'
    told, pending = look("a.tf", text, "a|b.x")
    assert "is no HCL" in pending
    assert (2,) in [found for _, _, found, _ in told]


def test_yaml_in_its_forms(said):
    block = "jobs:\n  a:\n    steps:\n      - uses: x@y\n"
    for text in (
        block,
        "jobs: {a: {steps: [{uses: x@y}]}}\n",
        '"jobs": {"a": {"steps": [{"u\\u0073es": "x@y"}]}}\n',
        "x: &s {uses: x@y}\njobs:\n  a:\n    steps:\n    - *s\n",
        "x: &s {uses: x@y}\njobs:\n  a:\n    steps:\n    - <<: *s\n      name: b\n",
        "x: [&s {uses: x@y}, &t {uses: z}]\njobs:\n  a:\n    steps:\n    - <<: [*s, *t]\n",
        "---\na: 1\n---\n" + block,
        "? jobs\n: a:\n    steps:\n    - ? uses\n      : x@y\n",
        block.replace("\n", "\r\n"),
        "\ufeff" + block,
    ):
        assert said("a.yml", text, "jobs.*.steps[*].uses") == ["x@y"], text
    assert said("a.yml", block.encode("utf-16"), "jobs.*.steps[*].uses") == ["x@y"]


def test_what_a_mapping_says_itself_wins_over_what_it_merges(said):
    assert said("a.yml", "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n", "b.*") == [3, 2]
    assert said("a.yml", "a: {x: 1, x: 2}\n", "a.x") == [1, 2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("TRUE", True),
        ('"true"', "true"),
        ("yes", "yes"),
        ("0", 0),
        ('"0"', "0"),
        ("00", 0),
        ("0x0", 0),
        ("010", "010"),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("~", None),
        ("1:30", "1:30"),
        ("!!str true", "true"),
        ("!!int '0'", 0),
        ("2026-01-01", "2026-01-01"),
        ("9" * 40, "9" * 40),
    ],
)
def test_plain_scalars(said, text, value):
    [found] = said("a.yml", f"a: {text}\n", "a")
    assert found == value
    assert type(found) is type(value)


def test_keys_are_what_is_written(said):
    assert said("a.yml", "on: push\nNO: 1\n0: x\n", "*") == ["push", 1, "x"]
    assert said("a.yml", "on: push\n", "on") == ["push"]
    assert said("a.yml", 'metadata: {labels: {"a.b/c": 1}}\n', 'metadata.labels."a.b/c"') == [1]


def test_templates_tell_what_they_say_literally(look):
    text = 'spec:\n  {{- if .x }}\n  a: {{ .Values.x }}\n  b: "{{ .r }}:latest"\n  {{- end }}\n  c: 1\n'
    told, pending = look("t.yaml", text, "spec.*")
    assert "template" in pending
    assert [(place, line, found) for place, line, found, _ in told] == [
        ("spec.a", 3, ()),
        ("spec.b", 4, ("{{}}:latest",)),
        ("spec.c", 6, (1,)),
    ]
    assert look("t.yaml", "a: ${{ x }}\nb: 1\n", "*")[0][0][3] == ("",)


def test_objects_of_one_file_are_told_apart(look):
    text = "kind: A\nmetadata: {name: x}\nspec: 1\n---\nkind: A\nmetadata: {name: y}\nspec: 2\n"
    assert [place for place, *_ in look("a.yaml", text, "spec")[0]] == ["A/x.spec", "A/y.spec"]
    text = "kind: List\nitems:\n- {kind: A, metadata: {name: x}, spec: 1}\n"
    assert look("a.yaml", text, "spec")[0] == [("A/x.spec", 3, (1,), ())]


def test_json_and_toml_and_settings(look, said):
    assert look("a.json", '{\n "a": [1,\n  {"b": "\\u0063"}]\n}', "a[1].b")[0] == [("a[1].b", 3, ("c",), ())]
    assert said("a.json", '{"a": 1, "a": 2}', "a") == [1, 2]
    assert said("a.json", '{"a": 1, // c\n /* "b": 2, */ "c": "//", }', "*") == [1, "//"]
    assert look("a.json", '{"a": {"b": 1, "c": ', "a.b")[0] == [("a.b", 1, (1,), ())]
    assert look("a.json", '{"a": {"b": 1, "c": ', "a.b")[1].startswith("not JSON")
    assert look("a.toml", "[a]\nb = [1]\n[[c]]\nd = true\n", "c[*].d")[0] == [("c[0].d", 4, (True,), ())]
    told, pending = look("a.toml", '[a]\nb = "x"\nc = [', "a.b")
    assert [found for _, _, found, _ in told] == [("x",)]
    assert pending
    assert said("a.env", "# x\nexport A='b c'\nD=1 # x\n", "*") == ["b c", "1"]
    assert said("a.ini", "[s]\na = 1\n", "s.a") == ["1"]


def test_positions(said):
    text = '{"a": [1, 2, 3], "b": 4}'
    assert said("a.json", text, "a[0]") == [1]
    assert said("a.json", text, "a[-1]") == [3]
    assert said("a.json", text, "a[7]") == []
    assert said("a.json", text, "a[*]") == [1, 2, 3]
    assert said("a.json", text, "a") == [1, 2, 3]
    assert said("a.json", text, "b[*]") == [4]
    assert said("a.json", text, "") == ["a", "b"]


def test_members_by_path_and_as_they_are_written(look):
    text = '{"c": {"s": {"p": 1}, "x.y": 2}}'
    assert look("a.json", text, "c", "s.p", "x.y", "z", "s.q")[0] == [
        ("c", 1, {"s.p": (1,), "x.y": (2,), "z": (), "s.q": ()}, ())
    ]


def test_a_dockerfile(look, said):
    text = (
        "# escape=`\nARG T=1\nFROM --platform=x node:${T} AS Build\nUSER app:app\nRUN <<EOF\nUSER root\nEOF\n"
        "FROM build\nrun a `\n  # comment\n\n  b\nENV U=bob\nUSER $U\nFROM scratch\nFROM x:${N}\n"
    )
    assert look("Dockerfile", text, "USER[*]")[0] == [("USER[0]", 4, ("app:app",), ()), ("USER[1]", 14, ("bob",), ())]
    assert [found for _, _, found, _ in look("Dockerfile", text, "stages[*].user")[0]] == [("app",), ("bob",)]
    assert [found for _, _, found, _ in look("Dockerfile", text, "FROM[*]")[0]] == [("node:1",), ("x:${N}",)]
    assert look("Dockerfile", text, "stages[1]", "image", "user", "RUN")[0][0][2] == {
        "image": ("node:1",),
        "user": ("bob",),
        "RUN": ("a   b",),
    }
    assert look("Dockerfile", text, "final", "user")[0] == [("final", 16, {"user": ()}, ())]
    assert said("Dockerfile", "from a:1\nuser 0\n", "USER") == ["0"]
    assert said("Dockerfile", "FR\\\nOM a:1\nUSER ro\\  \not\n", "final.user") == ["root"]
    assert said("Dockerfile", "# x=y\n# escape=`\nFROM a:1\nUSER ro\\\not\n", "USER") == ["root"]
    assert "middle of an instruction" in look("Dockerfile", "FROM a\nRUN x \\\n", "USER")[1]
    assert "here-document" in look("Dockerfile", "FROM a\nRUN <<E\nUSER root\n", "USER")[1]


# ---------------------------------------------------------------------------------------------------- hostile


def test_aliases_of_aliases_cost_nothing_until_a_rule_looks_into_them(look):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 12)]
    text = "\n".join([*levels, "z: {b: 1}\n"])
    assert look("a.yml", text, "z.b")[0] == [("z.b", 13, (1,), ())]
    for at in ("**.b", "a11", "a11" + "[*]" * 11):
        with pytest.raises(Unreadable):
            look("a.yml", text, at)


def test_an_anchor_in_itself_ends(look):
    with pytest.raises(Unreadable):
        look("a.yml", "a: &a [*a]\n", "a")
    with pytest.raises(Unreadable):
        look("a.yml", "a: &a\n  b: *a\n", "**.b")


def test_merging_again_and_again_ends(look):
    text = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(3000)) + "}\n"
    text += "".join(f"b{n}: {{<<: [*a, *a, *a]}}\n" for n in range(500))
    with pytest.raises(Unreadable):
        look("a.yml", text, "b1.k1")


@pytest.mark.parametrize("path", ["a.yml", "a.json", "a.tf", "a.toml", "a.tf.json"])
def test_very_deep_documents_end(look, path):
    for deep in (50, 200, 20_000):
        text = "a = " if path in ("a.tf", "a.toml") else '{"a": '
        text += "[" * deep + "]" * deep + ("\n" if path in ("a.tf", "a.toml") else "}\n")
        try:
            look(path, text, "a")
        except Unreadable as error:
            assert deep > 50, error


@pytest.mark.parametrize("path", ["a.yml", "a.json", "a.tf", "a.toml", "a.tf.json", "Dockerfile", "a.env"])
def test_no_nul_and_not_too_large(look, path):
    with pytest.raises(Unreadable, match="NUL"):
        look(path, b"a\0b", "a")
    with pytest.raises(Unreadable, match="too large"):
        look(path, b"a" * ((2 << 20) + 1), "a")


@pytest.mark.parametrize("path", ["a.yml", "a.json", "a.tf", "a.toml", "a.tf.json", "Dockerfile", "a.env"])
@pytest.mark.parametrize(
    "unit",
    [b"{{", b"[", b'"', b"\\", b"${", b"<<E ", b"/*", b"a: ", b"- ", b"&a *a ", b"$", b"#", b"\xff", b"\t", b"a=b "],
)
def test_one_sign_a_hundred_thousand_times(look, path, unit):
    try:
        look(path, unit * 100_000, "**.a")
    except Unreadable:
        pass


def test_a_long_line(look):
    line = '{"a": [' + '"x", ' * 300_000 + '"y"], "b": 1}'
    assert look("a.json", line, "b")[0] == [("b", 1, (1,), ())]
    with pytest.raises(Unreadable, match="values in one place"):
        look("a.json", line, "a")


def test_long_values_are_cut_and_not_sure(look):
    [(_, _, (value,), unsure)], _ = look("a.json", '{"b": "' + "/" * 5000 + '"}', "b")
    assert (len(value), unsure) == (1900, ("",))


def test_other_bytes_are_told(look):
    told, pending = look("a.yml", b"a: 1\nb: \xff\n", "a")
    assert told == [("a", 1, (1,), ())]
    assert "not utf-8" in pending
    assert look("notes.txt", "x", "a") == ([], "no document of a known format")


def test_half_characters_are_written(look):
    [(_, _, (value,), _)], _ = look("a.json", '{"a": "\\ud800"}', "a")
    value.encode()


def test_values_come_back_from_the_worker_as_they_are(parsers):
    from supervisor.inspection import wire
    from supervisor.vocabulary.content import Findings

    text = b'x {\n a = 1\n b = var.q ? [true, null] : ["\\u00e9"]\n c = 1e400\n}\n'
    looking = (Selection("r", ("*",), (), "x", ("a", "b", "c", "d")),)
    found = Findings(values=documents.values(b"a.tf", text, parsers, looking)[0])
    [value] = found.values
    assert value.unsure == ("b",)
    assert wire.read_answer(wire.answer(1, found)[wire.HEAD.size :]) == found
