"""The shipped pack ``pack:infra``: for every rule documents that break it, in two forms or more; and some that do not."""

# ruff: noqa: E501, ISC004 - one document to a line
from __future__ import annotations

import functools
from pathlib import Path

import pytest

from supervisor.inspection import documents
from supervisor.inspection.parsing import Parsers
from supervisor.invariants.infra import compile_infra, covers, describe, judge_content, selections
from supervisor.profile.load import load
from supervisor.vocabulary.content import Findings
from supervisor.vocabulary.events import ContentEvent
from supervisor.vocabulary.policy import Coverage, Invariant
from tests.property.world import ACTOR, target


@functools.cache
def pack():
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "govrun.toml").write_text('version = 1\nextends = ["pack:infra"]\n')
        rules = load(Path(folder)).rules
    return rules, compile_infra(rules, {rule.id: Invariant(rule.id, "infra", rule.then or "") for rule in rules})


@functools.cache
def parsers() -> Parsers:
    return Parsers()


def broken(path: str, text: str) -> set[str]:
    """Ids of the rules that the document breaks."""
    _, compiled = pack()
    relative = path.encode()
    if not covers(compiled, relative):
        return set()
    looking = tuple(rule.selection for rule in compiled.rules if rule.looks_at(relative))
    found, pending = documents.values(relative, text.encode(), parsers(), looking)
    assert not pending
    event = ContentEvent(ACTOR, target(b"x"), Findings(values=found))
    return {match.invariant.id for match in judge_content(compiled, event, relative)}


def group(attributes: str, kind: str = "aws_security_group") -> str:
    return f'resource "{kind}" "a" {{\n{attributes}\n}}\n'


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n"
DEPLOYMENT = "kind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n    spec:\n"
STEPS = "jobs:\n  a:\n    steps:\n"
PIN = "0" * 40

BROKEN = [
    ("infra-open-ingress", "a.tf", group('ingress {\n cidr_blocks = ["10.0.0.0/8", "0.0.0.0/0"]\n}')),
    ("infra-open-ingress", "a.tf", group('ingress = [{ cidr_blocks = toset(["0.0.0.0/0"]) }]')),
    ("infra-open-ingress", "a.tf", group('dynamic "ingress" {\n for_each = [1]\n content {\n cidr_blocks = local.a\n }\n}')
     + 'locals { a = ["0.0.0.0/0"] }\n'),
    ("infra-open-ingress", "a.tf.json",
     '{"resource": {"aws_security_group": {"a": {"ingress": [{"cidr_blocks": ["0.0.0.0/0"]}]}}}}'),
    ("infra-open-ingress", "a.tf.json",
     '{"resource": [{"aws_security_group": [{"a": {"ingress": {"cidr_blocks": "${[\\"0.0.0.0/0\\"]}"}}}]}]}'),
    ("infra-open-ingress-ipv6", "a.tf", group('ingress {\n ipv6_cidr_blocks = ["::/0"]\n}')),
    ("infra-open-ingress-ipv6", "a.tofu", group('ingress = { ipv6_cidr_blocks = ["0:0::/0"] }')),
    ("infra-open-rule", "a.tf", group('type = "ingress"\ncidr_blocks = ["0.0.0.0/0"]', "aws_security_group_rule")),
    ("infra-open-rule", "a.tf", group('type = "in${"gress"}"\ncidr_blocks = concat(var.x, ["0.0.0.0/1"])',
                                      "aws_security_group_rule")),
    ("infra-open-rule-ipv6", "a.tf", group('type = "ingress"\nipv6_cidr_blocks = ["::/0"]', "aws_security_group_rule")),
    ("infra-open-rule-ipv6", "a.tf.json",
     '{"resource": {"aws_security_group_rule": {"a": {"type": "ingress", "ipv6_cidr_blocks": ["::/0"]}}}}'),
    ("infra-open-vpc-rule", "a.tf", group('cidr_ipv4 = "0.0.0.0/0"', "aws_vpc_security_group_ingress_rule")),
    ("infra-open-vpc-rule", "a.tf", group('cidr_ipv6 = "\\u003a:/0"', "aws_vpc_security_group_ingress_rule")),
    ("infra-open-firewall", "a.tf", group('source_ranges = ["0.0.0.0/0"]', "google_compute_firewall")),
    ("infra-open-firewall", "a.tf", group('source_ranges = true ? ["0.0.0.0/0"] : []', "google_compute_firewall")),
    ("infra-open-nsg", "a.tf", group('direction = "Inbound"\naccess = "Allow"\nsource_address_prefix = "*"',
                                     "azurerm_network_security_rule")),
    ("infra-open-nsg", "a.tf", group('direction = "inbound"\naccess = "allow"\nsource_address_prefix = "internet"',
                                     "azurerm_network_security_rule")),
    ("infra-public-bucket", "a.tf", group('acl = "public-read"', "aws_s3_bucket")),
    ("infra-public-bucket", "a.tf", group('acl = join("-", ["public", "read", "write"])', "aws_s3_bucket_acl")),
    ("infra-bucket-block", "a.tf", group("block_public_acls = true", "aws_s3_bucket_public_access_block")),
    ("infra-bucket-block", "a.tf", group("block_public_acls = true\nblock_public_policy = true\n"
                                         "ignore_public_acls = true\nrestrict_public_buckets = var.r",
                                         "aws_s3_bucket_public_access_block")),
    ("infra-volume-encrypted", "a.tf", group("size = 1", "aws_ebs_volume")),
    ("infra-volume-encrypted", "a.tf", group('encrypted = "false"', "aws_ebs_volume")),
    ("infra-root-volume-encrypted", "a.tf", group("root_block_device {\n encrypted = false\n}", "aws_instance")),
    ("infra-root-volume-encrypted", "a.tf", group("ebs_block_device = [{ size = 1 }]", "aws_instance")),
    ("infra-database-encrypted", "a.tf", group("storage_encrypted = false", "aws_db_instance")),
    ("infra-database-encrypted", "a.tf", group("name = 1", "aws_rds_cluster")),
    ("infra-file-system-encrypted", "a.tf", group("name = 1", "aws_efs_file_system")),
    ("infra-file-system-encrypted", "a.tf", group("encrypted = !true", "aws_efs_file_system")),
    ("infra-public-database", "a.tf", group("publicly_accessible = true", "aws_db_instance")),
    ("infra-public-database", "a.tf", group('publicly_accessible = "1"', "aws_rds_cluster_instance")),
    ("infra-iam-any-action", "a.tf", group('policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "*" }] })',
                                           "aws_iam_policy")),
    ("infra-iam-any-action", "a.tf", group('policy = <<EOT\n{"Statement": {"Effect": "Allow", "Action": ["*:*"]}}\nEOT',
                                           "aws_iam_role_policy")),
    ("infra-iam-any-resource", "a.tf", group(
        'policy = jsonencode({ Statement = { Effect = "Allow", Action = ["s3:*"], Resource = "*" } })',
        "aws_iam_policy")),
    ("infra-iam-any-resource", "a.tf", group(
        'policy = "{\\"Statement\\": [{\\"Effect\\": \\"Allow\\", \\"Action\\": \\"s3:*\\", \\"Resource\\": [\\"*\\"]}]}"',
        "aws_iam_user_policy")),
    ("infra-iam-document", "a.tf",
     'data "aws_iam_policy_document" "a" {\nstatement {\n actions = ["*"]\n resources = ["*"]\n}\n}\n'),
    ("infra-iam-document", "a.tf.json", '{"data": {"aws_iam_policy_document": {"a": {"statement": '
     '[{"actions": ["*"], "resources": ["*"]}]}}}}'),
    ("infra-iam-public-trust", "a.tf", group(
        'assume_role_policy = jsonencode({ Statement = [{ Effect = "Allow", Principal = "*" }] })', "aws_iam_role")),
    ("infra-iam-public-trust", "a.tf", group(
        'policy = <<-EOT\n  {"Statement": [{"Effect": "Allow", "Principal": ["*"]}]}\n  EOT', "aws_s3_bucket_policy")),
    ("infra-iam-public-trust-aws", "a.tf", group(
        'policy = jsonencode({ Statement = [{ Effect = "Allow", Principal = { AWS = "*" } }] })', "aws_kms_key")),
    ("infra-iam-public-trust-aws", "a.tf", group(
        'policy = jsonencode({ Statement = [{ Effect = "Allow", "Principal" : { "AWS" : ["*"] } }] })',
        "aws_sqs_queue_policy")),
    ("infra-privileged", "a.yaml", POD + "  containers:\n    - securityContext:\n        privileged: true\n"),
    ("infra-privileged", "a.yaml", "kind: List\nitems:\n  - {spec: {initContainers: [{securityContext: {privileged: 'yes'}}]}}\n"),
    ("infra-privileged", "a.yml", 'x: &c {privileged: TRUE}\nspec:\n  containers: [{"secu\\u0072ityContext": {<<: *c}}]\n'),
    ("infra-privileged", "k8s/a.json", '{"spec": {"containers": [{"securityContext": {"privileged": true}}]}}'),
    ("infra-escalation", "a.yaml", POD + "  containers: [{securityContext: {allowPrivilegeEscalation: true}}]\n"),
    ("infra-escalation", "a.yaml", DEPLOYMENT + "      containers:\n      - securityContext:\n"
     "          allowPrivilegeEscalation: on\n"),
    ("infra-capabilities", "a.yaml", POD + "  containers: [{securityContext: {capabilities: {add: [SYS_ADMIN]}}}]\n"),
    ("infra-capabilities", "a.yaml", DEPLOYMENT + "      containers:\n      - securityContext:\n          capabilities:\n"
     '            add:\n            - "all"\n'),
    ("infra-container-root", "a.yaml", POD + "  containers: [{securityContext: {runAsUser: 0}}]\n"),
    ("infra-container-root", "a.yaml", POD + "  ephemeralContainers:\n  - securityContext: {runAsUser: '0x0'}\n"),
    ("infra-pod-root", "a.yaml", POD + "  securityContext: {runAsUser: 00}\n"),
    ("infra-pod-root", "a.yaml", DEPLOYMENT + "      securityContext:\n        runAsUser: !!int '0'\n"),
    ("infra-non-root-off", "a.yaml", POD + "  securityContext: {runAsNonRoot: false}\n"),
    ("infra-non-root-off", "a.yaml", POD + "  containers:\n  - securityContext:\n      runAsNonRoot: no\n"),
    ("infra-host-network", "a.yaml", POD + "  hostNetwork: true\n"),
    ("infra-host-network", "a.yaml", "spec: {template: {spec: {? hostNetwork : True}}}\n"),
    ("infra-host-pid", "a.yaml", POD + "  hostPID: true\n"),
    ("infra-host-pid", "a.yaml", "a: 1\n---\nspec: {hostPID: on}\n"),
    ("infra-host-ipc", "a.yaml", POD + "  hostIPC: true\n"),
    ("infra-host-ipc", "a.yaml", "spec:\n  hostIPC: false\n  hostIPC: true\n"),
    ("infra-host-path", "a.yaml", POD + "  volumes:\n  - hostPath:\n      path: /\n"),
    ("infra-host-path", "a.yaml", DEPLOYMENT + "      volumes: [{name: a, hostPath: {path: /var/run, type: Directory}}]\n"),
    ("infra-image-latest", "a.yaml", POD + "  containers: [{image: 'registry:5000/a'}]\n"),
    ("infra-image-latest", "a.yaml", DEPLOYMENT + "      containers:\n      - image: a:latest\n"),
    ("infra-user-root", "Dockerfile", "FROM a:1\nRUN x\n"),
    ("infra-user-root", "Dockerfile", "FROM a:1\nUSER app\nFROM b:1\nuser \\\n # a comment\n 0:0\n"),
    ("infra-user-root", "svc/Dockerfile.prod", "FROM a:1 AS x\nUSER root\nFROM x\n"),
    ("infra-from-latest", "Dockerfile", "FROM a\nUSER 1\n"),
    ("infra-from-latest", "Containerfile", "ARG T=latest\nfrom --platform=linux/amd64 a:$T as b\nUSER 1\n"),
    ("infra-remote-add", "Dockerfile", "FROM a:1\nADD https://x.example/a /a\nUSER 1\n"),
    ("infra-remote-add", "Dockerfile", "FROM a:1\nADD --chown=1 \\\n http://x.example/a /a\nUSER 1\n"),
    ("infra-pinned-actions", ".github/workflows/a.yml", STEPS + "    - uses: actions/checkout@v4\n"),
    ("infra-pinned-actions", ".github/workflows/a.yaml", "jobs: {a: {steps: [{'uses': 'a/b@main'}]}}\n"),
    ("infra-pinned-actions", ".github/workflows/a.yml", STEPS + '    - "u\\u0073es": a/b@v1\n'),
    ("infra-pinned-actions", ".github/workflows/a.yml", STEPS + "    - uses: a/b@${{ matrix.ref }}\n"),
    ("infra-pinned-actions", "tools/action.yml", "runs:\n  using: composite\n  steps: [{uses: docker://alpine:3}]\n"),
    ("infra-pinned-workflows", ".github/workflows/a.yml", "jobs:\n  a:\n    uses: a/b/.github/workflows/c.yml@v1\n"),
    ("infra-pinned-workflows", ".github/workflows/a.yml", "jobs: {a: {uses: a/b/.github/workflows/c.yml@main}}\n"),
    ("infra-write-all", ".github/workflows/a.yml", "permissions: write-all\n"),
    ("infra-write-all", ".github/workflows/a.yml", 'jobs:\n  a: {permissions: "write-all"}\n'),
    ("infra-target-trigger", ".github/workflows/a.yml", "on: pull_request_target\n"),
    ("infra-target-trigger", ".github/workflows/a.yml", "on: [push, pull_request_target]\n"),
    ("infra-target-trigger", ".github/workflows/a.yml", '"on":\n  pull_request_target:\n    types: [opened]\n'),
    ("infra-compose-privileged", "compose.yaml", "services:\n  a:\n    privileged: true\n"),
    ("infra-compose-privileged", "docker-compose.yml", "services: {a: {privileged: 'true'}}\n"),
    ("infra-compose-host", "compose.yaml", "services:\n  a:\n    network_mode: host\n"),
    ("infra-compose-host", "compose.yaml", "services: {a: {pid: 'host'}}\n"),
    ("infra-compose-socket", "compose.yaml", "services:\n  a:\n    volumes:\n    - /var/run/docker.sock:/x\n"),
    ("infra-compose-socket", "compose.yaml", "services: {a: {volumes: ['/run//docker.sock:/x:ro']}}\n"),
    ("infra-compose-socket-mount", "compose.yaml",
     "services:\n  a:\n    volumes:\n    - {type: bind, source: /var/run/docker.sock, target: /x}\n"),
    ("infra-compose-socket-mount", "compose.yaml",
     "x: &v\n  - type: bind\n    source: /run/docker.sock\nservices:\n  a:\n    volumes: *v\n"),
    ("infra-compose-latest", "compose.yaml", "services: {a: {image: nginx}}\n"),
    ("infra-compose-latest", "compose.yaml", "services:\n  a:\n    image: nginx:${TAG:-latest}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN, ids=[f"{each[0]}-{n}" for n, each in enumerate(BROKEN)])
def test_what_breaks_a_rule(rule: str, path: str, text: str) -> None:
    assert rule in broken(path, text)


FINE = [
    ("a.tf", group('ingress {\n cidr_blocks = ["10.0.0.0/8"]\n}\negress {\n cidr_blocks = ["0.0.0.0/0"]\n}')),
    ("a.tf", group('# ingress { cidr_blocks = ["0.0.0.0/0"] }\n/* cidr_blocks = ["0.0.0.0/0"] */')),
    ("a.tf", group('type = "egress"\ncidr_blocks = ["0.0.0.0/0"]\nipv6_cidr_blocks = ["::/0"]', "aws_security_group_rule")),
    ("a.tf", group('cidr_ipv4 = "10.0.0.0/10"\ncidr_ipv6 = null', "aws_vpc_security_group_ingress_rule")),
    ("a.tf", group("source_ranges = var.ranges", "google_compute_firewall")),
    ("a.tf", group('direction = "Outbound"\naccess = "Allow"\nsource_address_prefix = "*"', "azurerm_network_security_rule")),
    ("a.tf", group('acl = "private"', "aws_s3_bucket_acl")),
    ("a.tf", group("block_public_acls = true\nblock_public_policy = true\nignore_public_acls = true\n"
                   'restrict_public_buckets = "true"', "aws_s3_bucket_public_access_block")),
    ("a.tf", group("encrypted = true", "aws_ebs_volume") + group("encrypted = local.e", "aws_efs_file_system")
     + group("storage_encrypted = true\npublicly_accessible = false", "aws_db_instance") + "locals {\n e = true\n}\n"),
    ("a.tf", group("root_block_device {\n encrypted = true\n}", "aws_instance")),
    ("a.tf", group('policy = jsonencode({ Statement = [{ Effect = "Deny", Action = "*", Principal = "*" },\n'
                   '{ Effect = "Allow", Action = "s3:GetObject", Principal = { AWS = "arn:a" } }] })', "aws_iam_policy")),
    ("a.tf", 'data "aws_iam_policy_document" "a" {\nstatement {\n actions = ["s3:Get*"]\n resources = ["*"]\n}\n}\n'),
    ("a.yaml", POD + "  securityContext: {runAsUser: 1000, runAsNonRoot: true}\n  hostNetwork: false\n  containers:\n"
     "  - image: registry:5000/a:1.2\n    securityContext: {privileged: false, allowPrivilegeEscalation: false,\n"
     "      capabilities: {drop: [ALL]}}\n  - image: a@sha256:00\n  volumes: [{emptyDir: {}}]\n"),
    ("a.yaml", "spec:\n  containers:\n  - image: {{ .Values.image }}\n  - image: '{{ .Values.a }}:{{ .Values.b }}'\n"),
    ("Dockerfile", "FROM a:1 AS build\nUSER root\nFROM scratch\nCOPY --from=build /a /\nADD b /\nUSER 65532\n"),
    ("Dockerfile", "FROM a:1 AS base\nUSER app:root\nFROM base\nADD --checksum=sha256:0 https://x.example/a /a\n"),
    (".github/workflows/a.yml", "on:\n  pull_request:\npermissions: {contents: read}\n" + STEPS
     + f"    - uses: a/b@{PIN} # v4\n    - uses: ./local\n    - run: x\n  b:\n    uses: ./.github/workflows/c.yml\n"),
    ("compose.yaml", "services:\n  a:\n    image: nginx:1.27\n    privileged: false\n    volumes: [data:/x]\n"
     "  b: {image: '${IMAGE}', network_mode: bridge}\n"),
    ("README.md", "privileged: true\n"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text"), FINE)
def test_what_breaks_none(path: str, text: str) -> None:
    assert broken(path, text) == set()


def test_every_rule_is_judged_and_tried_in_two_forms() -> None:
    rules, compiled = pack()
    assert len(compiled.rules) == len(rules) >= 20
    assert len(selections(compiled)) == len(rules)
    for rule in rules:
        assert describe(rule)[0] is (Coverage.OBSERVED if rule.then == "warn" else Coverage.SUPERVISED)
        assert rule.why
        assert rule.use
        forms = {text for name, _, text in BROKEN if name == rule.id}
        assert len(forms) >= 2, rule.id
